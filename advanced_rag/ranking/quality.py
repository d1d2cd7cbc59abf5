"""How good a ranking is, by judgments of the documents in it."""

from collections.abc import Mapping, Sequence
from math import log2

DEPTH = 10


def ndcg(ranking: Sequence[str], gains: Mapping[str, int], depth: int = DEPTH) -> float:
    """Return the discounted gain of the first documents, as a share of the best there could be; gains are linear."""
    best = _discounted(sorted((gain for gain in gains.values() if gain > 0), reverse=True)[:depth])
    return _discounted([max(gains.get(document, 0), 0) for document in ranking[:depth]]) / best if best else 0.0


def recall(ranking: Sequence[str], gains: Mapping[str, int], depth: int = DEPTH) -> float:
    """Return the share of the good documents that stand among the first."""
    good = {document for document, gain in gains.items() if gain > 0}
    return len(good.intersection(ranking[:depth])) / len(good) if good else 0.0


def _discounted(gains: Sequence[int]) -> float:
    return sum(gain / log2(place + 1) for place, gain in enumerate(gains, start=1))
