"""Does it help to choose the size of the pieces by what the text is like? ``python -m benchmarks.chunk_size DATA``.

Every document is cut at each size once; a rule then only chooses, for each document, which of its cuts are searched.
"""

import argparse
import random
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import ir_measures
import numpy as np
from ir_measures import R, nDCG
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags
from sklearn.feature_extraction.text import CountVectorizer

from advanced_rag.config import EncoderSettings, MilvusSettings, WeightSettings
from advanced_rag.encoders.base import Encoder
from advanced_rag.encoders.load import BUNDLED_MODEL, load_encoder
from advanced_rag.models.diagnostics import Diagnostics
from advanced_rag.models.retrieval import Candidate
from advanced_rag.ranking.fuse import fuse
from advanced_rag.text.chunk import ChunkLimits, chunk_text, passage
from advanced_rag.text.diagnose import Lexicons, diagnose
from benchmarks.datasets import Dataset, load
from benchmarks.quality import CANDIDATES, HITS
from benchmarks.report import put_section

SETS = ("scifact", "cranfield", "financebench")
SIZES = (96, 128, 192, 256)
SHIPPED = 192
_MOST_DOCUMENTS = 1800
_STREAMS, _BATCH = 2, 16
_RESAMPLED = 2000
Rule = Callable[[Mapping[str, Diagnostics]], dict[str, int]]  # document id → size


@dataclass(frozen=True, slots=True)
class Pieces:
    """The pieces of a set at every size, with the document and the size of each."""

    documents: NDArray[np.str_]
    sizes: NDArray[np.int64]
    vectors: NDArray[np.float32]
    terms: csr_matrix


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a rule comes to on a set: nDCG@10, recall@10, and where the gain of nDCG@10 over the shipped size lies."""

    ndcg: float
    recall: float
    low: float
    high: float


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chunk_size", description=__doc__)
    parser.add_argument("data", type=Path, help="folder of evaluation sets")
    data = parser.parse_args().data
    with tempfile.TemporaryDirectory() as cache:
        encoder = load_encoder(BUNDLED_MODEL, EncoderSettings(streams=_STREAMS), Path(cache))
        sets = [_sampled(load(data / name)) for name in SETS]
        outcomes = [_measure(dataset, encoder) for dataset in sets]
    put_section("Chunk size", report([f"{item.name}, {len(item.documents)}" for item in sets], outcomes))


def report(names: Sequence[str], outcomes: Sequence[Mapping[str, Outcome]]) -> str:
    """Return the section: one line a rule, one column a set."""
    better = [rule for rule in RULES if any(found[rule].low > 0 for found in outcomes)]
    lines = [
        "Semantic and BM25, fused as shipped. A rule ranks the documents of a set by a figure of their diagnosis and gives",
        "each quarter of them one of the four sizes. In a cell: nDCG@10, recall@10, and the 95 % interval of the gain in",
        f"nDCG@10 over {SHIPPED} tokens for all. Better beyond chance on any set: {'; '.join(better) or 'none'}.",
        "",
        f"| pieces | {' | '.join(names)} |",
        "|---" * (len(names) + 1) + "|",
    ]
    return "\n".join(lines + [f"| {rule} | {' | '.join(_cell(found[rule]) for found in outcomes)} |" for rule in RULES])


def _cell(found: Outcome) -> str:
    gain = f", {found.low:+.3f} to {found.high:+.3f}" if found.low != found.high else ""
    return f"{found.ndcg:.3f}, {found.recall:.3f}{gain}"


def by(figure: Callable[[Diagnostics], float], *, dense_is_small: bool) -> Rule:
    """Return a rule: the more of a figure, the smaller the pieces, or the larger."""

    def rule(found: Mapping[str, Diagnostics]) -> dict[str, int]:
        order = sorted(found, key=lambda key: (figure(found[key]), key))
        sizes = SIZES[::-1] if dense_is_small else SIZES
        return {key: sizes[place * len(SIZES) // len(order)] for place, key in enumerate(order)}

    return rule


def fixed(size: int) -> Rule:
    """Return the rule that gives every document the same size."""
    return lambda found: dict.fromkeys(found, size)


def at_random(found: Mapping[str, Diagnostics]) -> dict[str, int]:
    """Give each document a size by the dice: what a rule must beat."""
    dice = random.Random(0)
    return {key: dice.choice(SIZES) for key in sorted(found)}


RULES: dict[str, Rule] = {
    **{str(size): fixed(size) for size in SIZES},
    "at random": at_random,
    "higher entropy: smaller": by(lambda found: found.word_entropy, dense_is_small=True),
    "higher entropy: larger": by(lambda found: found.word_entropy, dense_is_small=False),
    "more redundancy: larger": by(lambda found: found.redundancy, dense_is_small=False),
    "more redundancy: smaller": by(lambda found: found.redundancy, dense_is_small=True),
    "richer vocabulary: smaller": by(lambda found: found.type_token_ratio, dense_is_small=True),
    "richer vocabulary: larger": by(lambda found: found.type_token_ratio, dense_is_small=False),
    "more numbers: smaller": by(lambda found: found.domains["numbers"], dense_is_small=True),
    "more numbers: larger": by(lambda found: found.domains["numbers"], dense_is_small=False),
}
_NUMBERS = Lexicons({"numbers": [str(number) for number in range(10_000)]})  # tables, where their lines are lost


def _sampled(dataset: Dataset) -> Dataset:
    """Return a set with all the documents that are judged, and others up to a bound."""
    judged = {key for gains in dataset.judgments.values() for key in gains}
    others = [item for item in dataset.documents if item["id"] not in judged]
    kept = [item for item in dataset.documents if item["id"] in judged]
    kept += random.Random(0).sample(others, min(len(others), max(_MOST_DOCUMENTS - len(kept), 0)))
    return Dataset(dataset.name, kept, dataset.queries, dataset.judgments)


def _measure(dataset: Dataset, encoder: Encoder) -> dict[str, Outcome]:
    figures = {item["id"]: diagnose(item["text"], _NUMBERS) for item in dataset.documents}
    pieces, vectorizer = _pieces(dataset, encoder)
    asked = encoder.encode_queries(list(dataset.queries.values()))
    words = vectorizer.transform(dataset.queries.values())
    scores = {name: _score(dataset, pieces, rule(figures), asked, words) for name, rule in RULES.items()}
    return {name: _outcome(found, scores[str(SHIPPED)]) for name, found in scores.items()}


def _outcome(found: NDArray[np.float64], shipped: NDArray[np.float64]) -> Outcome:
    """Resample the queries, in pairs, for the interval."""
    gain = found[0] - shipped[0]
    dice = np.random.default_rng(0)
    means = gain[dice.integers(len(gain), size=(_RESAMPLED, len(gain)))].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return Outcome(found[0].mean(), found[1].mean(), float(low), float(high))


def _pieces(dataset: Dataset, encoder: Encoder) -> tuple[Pieces, CountVectorizer]:
    rows = [(item["id"], size, text) for size in SIZES for item in dataset.documents for text in _cut(item, encoder, size)]
    texts = [text for _, _, text in rows]
    vectorizer = CountVectorizer(token_pattern=r"\w+", stop_words="english")  # noqa: S106 - of words
    terms = vectorizer.fit_transform(texts)
    documents, sizes = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    return Pieces(documents, sizes, _encode(encoder, texts), terms.tocsr()), vectorizer


def _cut(item: Mapping[str, str], encoder: Encoder, size: int) -> list[str]:
    title, text = item.get("title", ""), item["text"]
    limits = ChunkLimits(max_tokens=size, special_tokens=2, overlap_tokens=size // 8)
    spans = chunk_text(text, title, encoder.tokenizer, limits)
    return [passage(title, span.headings, text[span.start : span.end]) for span in spans]


def _encode(encoder: Encoder, texts: Sequence[str]) -> NDArray[np.float32]:
    order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
    batches = [order[start : start + _BATCH] for start in range(0, len(order), _BATCH)]
    vectors = np.empty((len(texts), encoder.dimension), dtype=np.float32)
    with ThreadPoolExecutor(_STREAMS) as threads:
        encoded = threads.map(lambda batch: encoder.encode_passages([texts[place] for place in batch]), batches)
        for batch, found in zip(batches, encoded, strict=True):
            vectors[batch] = found
    return vectors


def _score(
    dataset: Dataset, pieces: Pieces, sizes: Mapping[str, int], asked: NDArray[np.float32], words: csr_matrix
) -> NDArray[np.float64]:
    """Return nDCG@10 and recall@10 of every query, (2, queries)."""
    chosen = np.flatnonzero(pieces.sizes == np.array([sizes[key] for key in pieces.documents]))
    documents = pieces.documents[chosen]
    dense = asked @ pieces.vectors[chosen].T
    sparse = (words @ _bm25(pieces.terms[chosen]).T).toarray()
    found = []
    for query, semantic, lexical in zip(dataset.queries, dense, sparse, strict=True):
        legs = {"semantic": _best(semantic), "sparse": [item for item in _best(lexical) if item.score > 0]}
        weights = WeightSettings()
        fused = fuse(legs, {"semantic": weights.semantic, "sparse": weights.sparse})[:HITS]
        best: dict[str, float] = {}
        for item in fused:
            best.setdefault(str(documents[int(item.chunk_id)]), item.score)
        found += [ir_measures.ScoredDoc(query, document, score) for document, score in best.items()]
    return _per_query(dataset, found)


def _per_query(dataset: Dataset, found: Sequence[ir_measures.ScoredDoc]) -> NDArray[np.float64]:
    judged = [
        ir_measures.Qrel(q, document, gain) for q, gains in dataset.judgments.items() for document, gain in gains.items()
    ]
    places = {query: place for place, query in enumerate(dataset.queries)}
    values = np.zeros((2, len(places)))
    for item in ir_measures.iter_calc([nDCG @ 10, R @ 10], judged, found):
        values[0 if item.measure == nDCG @ 10 else 1, places[item.query_id]] = item.value
    return values


def _best(scores: NDArray[np.float32]) -> list[Candidate]:
    return [Candidate(str(place), float(scores[place])) for place in np.argsort(-scores, kind="stable")[:CANDIDATES]]


def _bm25(counts: csr_matrix) -> csr_matrix:
    """Return the weights of the terms in each piece, with the constants of the settings."""
    k1, b = MilvusSettings().bm25_k1, MilvusSettings().bm25_b
    lengths = np.asarray(counts.sum(axis=1)).ravel()
    holding = np.asarray((counts > 0).sum(axis=0)).ravel()
    rarity = np.log1p((counts.shape[0] - holding + 0.5) / (holding + 0.5))
    weights = counts.astype(np.float64).tocsr()
    norms = np.repeat(k1 * (1 - b + b * lengths / lengths.mean()), np.diff(weights.indptr))
    weights.data = weights.data * (k1 + 1) / (weights.data + norms)
    return (weights @ diags(rarity)).tocsr()


if __name__ == "__main__":
    main()
