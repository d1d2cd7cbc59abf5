"""Maximal marginal relevance: hits that are relevant and unlike each other.

Carbonell, Goldstein: The Use of MMR, Diversity-Based Reranking for Reordering Documents, SIGIR 1998.
"""

import numpy as np
from numpy.typing import NDArray


def mmr(relevance: NDArray[np.float32], vectors: NDArray[np.float32], *, top_k: int, trade_off: float) -> list[int]:
    """Return the indices of at most ``top_k`` items in the order MMR picks them.

    ``relevance`` (n,) should lie in 0 to 1, ``vectors`` (n, d) are unit vectors; ``trade_off`` 1 is relevance only.
    """
    count = len(relevance)
    similarity = vectors @ vectors.T
    nearest = np.zeros(count, dtype=np.float32)
    left = np.ones(count, dtype=bool)
    picked: list[int] = []
    while len(picked) < min(top_k, count):
        gain = np.where(left, trade_off * relevance - (1 - trade_off) * nearest, -np.inf)
        best = int(np.argmax(gain))
        picked.append(best)
        left[best] = False
        nearest = np.maximum(nearest, similarity[best])
    return picked
