"""How deep must candidates reach, and what does MaxSim over them cost? ``python -m benchmarks.pages``; made-up vectors.

A page has a topic it shares with five hundred others, something of its own, and sixteen regions. A question is about the
whole page (gist) or about one region of it (detail). Candidates are found by one vector a page, or by one a block of rows.
"""

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from advanced_rag.ranking.maxsim import maxsim, pack, pool, unpack
from benchmarks.report import put_section

PAGES, TOPICS, REGIONS, VECTORS, DIMENSION = 2000, 4, 16, 256, 128
QUERIES, QUERY_VECTORS = 100, 20
DEPTHS = (10, 20, 50, 100, 200)
COSTED_VECTORS, COSTED_PAGES, ROUNDS = 1000, 100, 7
Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Book:
    """Pages, (pages, vectors, dimension), and what they were made of."""

    pages: Vectors
    common: Vectors
    topics: Vectors  # of each page
    own: Vectors
    regions: Vectors  # (pages, regions, dimension)


def main() -> None:
    dice = np.random.default_rng(0)
    book = _book(dice)
    lines = [_HEADING]
    for kind in ("gist", "detail"):
        questions = [_question(book, page, kind, dice) for page in dice.choice(PAGES, QUERIES, replace=False)]
        best = [np.argsort(-maxsim(question, book.pages))[:10] for question in questions]
        lines += [_row(f"{kind}, {blocks} a page", _found(book, questions, blocks), best) for blocks in (1, 4, 16)]
    put_section("Pages", "\n".join([*lines, "", *_costs(dice)]))


_HEADING = f"""\
{PAGES:,} made-up pages of {VECTORS} vectors: the share of the ten best by MaxSim that stand among as many candidates as the
head of the column says, found with the mean of the question's vectors.

| question, pooled vectors | {" | ".join(str(depth) for depth in DEPTHS)} |
|---|{"---|" * len(DEPTHS)}"""


def _unit(vectors: Vectors) -> Vectors:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def _directions(dice: np.random.Generator, *shape: int) -> Vectors:
    return _unit(dice.standard_normal((*shape, DIMENSION), dtype=np.float32))


def _book(dice: np.random.Generator) -> Book:
    common, own = _directions(dice), _directions(dice, PAGES)
    topics = _directions(dice, TOPICS)[dice.integers(TOPICS, size=PAGES)]
    regions = _directions(dice, PAGES, REGIONS)
    ground = 0.6 * common + 0.5 * topics + 0.3 * own
    noise = _directions(dice, PAGES, VECTORS)
    pages = _unit(ground[:, None] + 0.6 * np.repeat(regions, VECTORS // REGIONS, axis=1) + 0.6 * noise)
    return Book(pages, common, topics, own, regions)


def _question(book: Book, page: int, kind: str, dice: np.random.Generator) -> Vectors:
    about = book.own[page] if kind == "gist" else book.regions[page, dice.integers(REGIONS)]
    return _unit(0.4 * book.common + 0.4 * book.topics[page] + 0.5 * about + 0.7 * _directions(dice, QUERY_VECTORS))


def _found(book: Book, questions: list[Vectors], blocks: int) -> list[NDArray[np.int64]]:
    """Return all pages in the order candidates are found, for each question."""
    pooled = _unit(book.pages.reshape(PAGES, blocks, -1, DIMENSION).mean(axis=2))
    return [np.argsort(-(pooled @ pool(question)).max(axis=1)) for question in questions]


def _row(name: str, found: list[NDArray[np.int64]], best: list[NDArray[np.int64]]) -> str:
    shares = [
        np.mean([np.isin(top, order[:depth]).mean() for order, top in zip(found, best, strict=True)]) for depth in DEPTHS
    ]
    return f"| {name} | {' | '.join(f'{share:.2f}' for share in shares)} |"


def _costs(dice: np.random.Generator) -> list[str]:
    pages = list(_directions(dice, COSTED_PAGES, COSTED_VECTORS))
    packed = [pack(page) for page in pages]
    question = _directions(dice, QUERY_VECTORS)
    off = np.abs(maxsim(question, [unpack(item) for item in packed]) - maxsim(question, pages)).max()
    return [
        f"| {COSTED_PAGES} pages of {COSTED_VECTORS} x {DIMENSION}, {QUERY_VECTORS} vectors of a question | figure |",
        "|---|---|",
        f"| packed, a page | {len(packed[0]) / 1024:.0f} KiB of {pages[0].nbytes / 1024:.0f} |",
        f"| a score is off by at most | {off:.4f} |",
        f"| unpack | {_milliseconds(lambda: [unpack(item) for item in packed]):.0f} ms |",
        f"| MaxSim | {_milliseconds(lambda: maxsim(question, pages)):.0f} ms |",
    ]


def _milliseconds(work) -> float:
    taken = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return float(np.median(taken)) * 1000


if __name__ == "__main__":
    main()
