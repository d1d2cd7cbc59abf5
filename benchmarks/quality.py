"""Retrieval quality through the public API, and what other ways of fusing the same legs would give."""

from collections.abc import Callable, Mapping, Sequence

import ir_measures
from ir_measures import nDCG

from advanced_rag.client import Client
from advanced_rag.config import WeightSettings
from advanced_rag.models.retrieval import Candidate, LegName
from advanced_rag.ranking.fuse import fuse
from benchmarks.datasets import Dataset

HITS = 30  # passages asked for, of which ten documents are made
CANDIDATES = 50
Ranking = list[tuple[str, float]]  # document id and score, best first
Legs = dict[LegName, list[Candidate]]


def ndcg(dataset: Dataset, rankings: Mapping[str, Ranking]) -> float:
    """Return nDCG@10 over all judged queries."""
    judged = [
        ir_measures.Qrel(query, document, gain)
        for query, gains in dataset.judgments.items()
        for document, gain in gains.items()
    ]
    found = [
        ir_measures.ScoredDoc(query, document, score) for query, ranking in rankings.items() for document, score in ranking
    ]
    return float(ir_measures.calc_aggregate([nDCG @ 10], judged, found)[nDCG @ 10])


def rank(client: Client, dataset: Dataset, mode: str) -> dict[str, Ranking]:
    """Rank the documents for each query: the passages in their order, each document at its first one."""
    return {
        key: _documents((hit["document_id"], hit["score"]) for hit in _hits(client, text, mode, HITS))
        for key, text in dataset.queries.items()
    }


def compare_fusions(client: Client, dataset: Dataset) -> dict[str, float]:
    """Return nDCG@10 for ways to fuse the same candidates, with the weights of the settings."""
    fusions: dict[str, Callable[[Legs], Ranking]] = {"mean and deviation (ours)": _ours, "min-max": _min_max, "RRF": _rrf}
    rankings: dict[str, dict[str, Ranking]] = {name: {} for name in fusions}
    for key, text in dataset.queries.items():
        hits = {leg: _hits(client, text, leg, CANDIDATES) for leg in ("semantic", "sparse")}
        documents = {hit["chunk_id"]: hit["document_id"] for found in hits.values() for hit in found}
        legs: Legs = {leg: [Candidate(hit["chunk_id"], hit["score"]) for hit in found] for leg, found in hits.items()}
        for name, combine in fusions.items():
            rankings[name][key] = _documents((documents[chunk], score) for chunk, score in combine(legs)[:HITS])
    return {name: ndcg(dataset, found) for name, found in rankings.items()}


def _hits(client: Client, text: str, mode: str, top_k: int) -> list[dict]:
    return client.retrieve(text, search_mode=mode, top_k=top_k)["hits"]


def _documents(passages) -> Ranking:
    first: dict[str, float] = {}
    for document, score in passages:
        first.setdefault(document, score)
    return list(first.items())


def _weight(leg: LegName) -> float:
    return getattr(WeightSettings(), leg)


def _ours(legs: Legs) -> Ranking:
    return [(item.chunk_id, item.score) for item in fuse(legs, {leg: _weight(leg) for leg in legs})]


def _min_max(legs: Legs) -> Ranking:
    def scaled(candidates: Sequence[Candidate]) -> list[float]:
        high, low = candidates[0].score, candidates[-1].score
        return [(item.score - low) / (high - low) if high > low else 1.0 for item in candidates]

    return _summed(legs, scaled)


def _rrf(legs: Legs) -> Ranking:
    return _summed(legs, lambda candidates: [1 / (60 + place) for place in range(1, len(candidates) + 1)])


def _summed(legs: Legs, scores: Callable[[Sequence[Candidate]], list[float]]) -> Ranking:
    totals: dict[str, float] = {}
    for leg, candidates in legs.items():
        for item, score in zip(candidates, scores(candidates) if candidates else [], strict=True):
            totals[item.chunk_id] = totals.get(item.chunk_id, 0.0) + _weight(leg) * score
    return sorted(totals.items(), key=lambda pair: (-pair[1], pair[0]))
