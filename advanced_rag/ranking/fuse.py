"""Fusion: one ranking from the rankings of several legs.

Convex combination of scores (Bruch, Gai, Ingber: An Analysis of Fusion Functions for Hybrid Retrieval, ACM TOIS 2023),
each leg's scores first placed by their distance from the leg's mean, in standard deviations (distribution-based score
fusion). Measured against min-max scaling and reciprocal ranks in benchmarks/RESULTS.md.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from math import sqrt

from advanced_rag.models.retrieval import Candidate, Fused, LegName, LegScore

_SMALLEST_DEVIATION = 1e-9


def fuse(legs: Mapping[LegName, Sequence[Candidate]], weights: Mapping[LegName, float]) -> list[Fused]:
    """Fuse the candidates of each leg, best first; scores lie in 0 to 1.

    The weights of the legs that found something are scaled to sum to 1; a chunk a leg did not find gets 0 from it.
    Ties are broken by chunk id, so that the same index always gives the same order.
    """
    places: dict[str, dict[LegName, LegScore]] = defaultdict(dict)
    totals: dict[str, float] = defaultdict(float)
    for leg, weight in _scaled(legs, weights).items():
        for rank, (candidate, score) in enumerate(zip(legs[leg], _spread(legs[leg]), strict=True), start=1):
            places[candidate.chunk_id][leg] = LegScore(rank, candidate.score, weight * score)
            totals[candidate.chunk_id] += weight * score
    order = sorted((-total, chunk_id) for chunk_id, total in totals.items())
    return [Fused(chunk_id, -negated, places[chunk_id]) for negated, chunk_id in order]


def single(leg: LegName, candidates: Sequence[Candidate]) -> list[Fused]:
    """Rank by one leg alone, with its own scores."""
    return [
        Fused(candidate.chunk_id, candidate.score, {leg: LegScore(rank, candidate.score, candidate.score)})
        for rank, candidate in enumerate(candidates, start=1)
    ]


def _scaled(legs: Mapping[LegName, Sequence[Candidate]], weights: Mapping[LegName, float]) -> dict[LegName, float]:
    answered = {leg: weights.get(leg, 0.0) for leg, candidates in legs.items() if candidates}
    total = sum(answered.values())
    if total <= 0:
        return {leg: 1 / len(answered) for leg in answered}
    return {leg: weight / total for leg, weight in answered.items()}


def _spread(candidates: Sequence[Candidate]) -> list[float]:
    """Place scores between three standard deviations below their mean (0) and three above (1)."""
    scores = [candidate.score for candidate in candidates]
    mean = sum(scores) / len(scores)
    deviation = sqrt(sum((score - mean) ** 2 for score in scores) / len(scores))
    if deviation < _SMALLEST_DEVIATION:
        return [0.5] * len(scores)
    return [min(max((score - mean) / (6 * deviation) + 0.5, 0.0), 1.0) for score in scores]
