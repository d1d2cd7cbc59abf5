"""Retrieval."""

from typing import Any, Literal

from pydantic import Field

from advanced_rag.api.schemas.base import Answer, DomainName, Leg, Query, Schema, Weight
from advanced_rag.models.retrieval import Hit, RetrieveResult


class RetrieveRequest(Schema):
    """What to look for, and how."""

    query: Query
    top_k: int = Field(10, ge=1, le=100)
    filters: dict[str, Any] | None = None
    domain: DomainName | None = None
    search_mode: Literal["hybrid", "semantic", "sparse", "domain", "visual", "hybrid_visual"] = "hybrid"
    weights: dict[Leg, Weight] | None = None
    rerank: bool | None = None
    mmr: bool | None = None
    mmr_lambda: Weight | None = None
    explain: bool = False


class LegOut(Answer):
    """Where a leg placed a hit."""

    rank: int
    score: float


class HitOut(Answer):
    """A passage that was found."""

    chunk_id: str
    document_id: str
    title: str
    text: str
    score: float
    score_kind: str
    legs: dict[str, LegOut]
    metadata: dict[str, Any]
    page: int | None = None
    headings: list[str]
    start: int
    end: int
    explanation: dict[str, Any] | None = None

    @classmethod
    def of(cls, hit: Hit) -> "HitOut":
        """Make it from what the service says."""
        return cls.model_construct(
            chunk_id=hit.chunk.chunk_id,
            document_id=hit.document.document_id,
            title=hit.document.title,
            text=hit.chunk.text,
            score=hit.score,
            score_kind=hit.score_kind,
            legs={leg: LegOut.model_construct(rank=s.rank, score=s.score) for leg, s in hit.legs.items()},
            metadata=dict(hit.document.metadata),
            page=hit.chunk.page,
            headings=list(hit.chunk.headings),
            start=hit.chunk.start,
            end=hit.chunk.end,
            explanation=dict(hit.explanation) if hit.explanation is not None else None,
        )


class DegradedOut(Answer):
    """A part the answer had to do without."""

    component: str
    reason: str


class RetrieveResponse(Answer):
    """The hits, best first."""

    hits: list[HitOut]
    degraded: list[DegradedOut]
    timings_ms: dict[str, float]
    request_id: str | None = None

    @classmethod
    def of(cls, result: RetrieveResult, request_id: str | None) -> "RetrieveResponse":
        """Make it from what the service says."""
        return cls.model_construct(
            hits=[HitOut.of(hit) for hit in result.hits],
            degraded=[DegradedOut.model_construct(component=d.component, reason=d.reason) for d in result.degraded],
            timings_ms=result.timings_ms,
            request_id=request_id,
        )
