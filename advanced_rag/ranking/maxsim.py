"""Late interaction: each vector of a query is compared with every vector of a page, and the best ones count.

Khattab, Zaharia: ColBERT, SIGIR 2020; Faysse and others: ColPali, Efficient Document Retrieval with Vision Language Models,
2024. Scores are divided by the number of query vectors, so that they lie in -1 to 1 and long queries score like short ones.
"""

import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]

_HEADER = struct.Struct("<BIH")  # format, vectors, dimension
_FORMAT = 1
_STEPS = 127


def maxsim(query: Vectors, pages: Sequence[Vectors]) -> Vectors:
    """Return the score of each page, (pages,), for unit vectors; a page without vectors gets -1, a query without any 0.

    It takes a multiplication of all vectors of all pages with those of the query, and memory for the product.
    """
    scores = np.full(len(pages), -1 if len(query) else 0, dtype=np.float32)
    sizes = np.array([len(page) for page in pages], dtype=np.int64)
    filled = np.flatnonzero(sizes)
    if not len(query) or not len(filled):
        return scores
    similarity = np.concatenate([pages[place] for place in filled.tolist()]) @ query.T
    starts = np.cumsum(sizes[filled]) - sizes[filled]
    scores[filled] = np.maximum.reduceat(similarity, starts, axis=0).mean(axis=1)
    return np.clip(scores, -1, 1)


def pool(vectors: Vectors) -> Vectors:
    """Return one unit vector for many, (dimension,): their mean; zeros where they cancel out or there are none."""
    mean = vectors.sum(axis=0, dtype=np.float64)
    length = float(np.linalg.norm(mean))
    pooled: Vectors = (mean / length if length else mean).astype(np.float32)
    return pooled


def pack(vectors: Vectors) -> bytes:
    """Return vectors as bytes, a quarter of their size: whole numbers of -127 to 127, each vector with its own scale.

    A number is off by half a step at most, which is 1/254 of the largest of its vector.
    """
    largest = np.abs(vectors).max(axis=1, initial=0).astype(np.float32)
    steps = np.where(largest > 0, largest, 1) / np.float32(_STEPS)
    numbers = np.rint(vectors / steps[:, None]).astype(np.int8)
    return _HEADER.pack(_FORMAT, *vectors.shape) + steps.astype("<f4").tobytes() + numbers.tobytes()


def unpack(packed: bytes) -> Vectors:
    """Return the vectors that were packed, (n, dimension); raises ValueError for what was not packed here."""
    if len(packed) < _HEADER.size:
        raise ValueError("not packed vectors")
    kind, count, dimension = _HEADER.unpack_from(packed)
    if kind != _FORMAT or len(packed) != _HEADER.size + count * (4 + dimension):
        raise ValueError("not packed vectors")
    steps = np.frombuffer(packed, "<f4", count, _HEADER.size)
    numbers = np.frombuffer(packed, np.int8, count * dimension, _HEADER.size + 4 * count).reshape(count, dimension)
    vectors: Vectors = np.multiply(numbers, steps[:, None], dtype=np.float32)
    return vectors
