"""A retrieval request, what each leg found, and the answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from advanced_rag.models.documents import Chunk, DocumentVersion
from advanced_rag.models.filters import Filter

LegName = Literal["semantic", "sparse", "domain", "visual"]
SearchMode = Literal["hybrid", "semantic", "sparse", "domain", "visual", "hybrid_visual"]
ScoreKind = Literal["cosine", "bm25", "maxsim", "fused", "rerank", "mmr"]


@dataclass(frozen=True, slots=True)
class RetrieveQuery:
    """What to look for and how; None leaves a choice to the settings."""

    query: str
    top_k: int = 10
    filters: Filter | None = None
    domain: str | None = None
    search_mode: SearchMode = "hybrid"
    weights: Mapping[LegName, float] | None = None
    rerank: bool | None = None
    mmr: bool | None = None
    mmr_lambda: float | None = None
    explain: bool = False


@dataclass(frozen=True, slots=True)
class Candidate:
    """A chunk that one leg found; the higher the score the better."""

    chunk_id: str
    score: float


@dataclass(frozen=True, slots=True)
class LegScore:
    """Where a leg placed a chunk: rank from 1, the leg's own score, and its share in the fused one."""

    rank: int
    score: float
    share: float


@dataclass(frozen=True, slots=True)
class Fused:
    """A chunk after fusion, with the part each leg had in it."""

    chunk_id: str
    score: float
    legs: Mapping[LegName, LegScore]


@dataclass(frozen=True, slots=True)
class Degradation:
    """A part that failed, and why; the answer came without it."""

    component: str
    reason: str


@dataclass(frozen=True, slots=True)
class Hydrated:
    """A chunk read back from SQL with the version it belongs to."""

    chunk: Chunk
    document: DocumentVersion


@dataclass(frozen=True, slots=True)
class Hit:
    """One result: a passage, its score and where it comes from."""

    chunk: Chunk
    document: DocumentVersion
    score: float
    score_kind: ScoreKind
    legs: Mapping[LegName, LegScore]
    explanation: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class RetrieveResult:
    """The hits, best first, and how they came about."""

    hits: list[Hit]
    degraded: list[Degradation] = field(default_factory=list)
    timings_ms: dict[str, float] = field(default_factory=dict)
