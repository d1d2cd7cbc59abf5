"""Runs that build the index anew beside the one that is searched."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from advanced_rag.models.documents import DEFAULT_TENANT, TenantId

RunState = Literal["running", "done", "failed", "cancelled"]
RunPhase = Literal["preparing", "building", "reconciling", "evaluating", "switching", "verifying", "ended"]
Action = Literal["build", "mend", "nothing"]
NOBODY = TenantId("")  # comes before every tenant


@dataclass(frozen=True, slots=True)
class EvaluationSet:
    """Queries, and how good each document of a tenant is for them: query id → document id → gain."""

    queries: Mapping[str, str]
    judgments: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class ReindexOptions:
    """What a run is asked for; without ``kinds`` those that need it, and ``evaluation`` is about one tenant's documents."""

    kinds: tuple[str, ...] | None = None
    batch_size: int | None = None
    verify: bool = False
    force: bool = False
    tenant: TenantId = DEFAULT_TENANT
    evaluation: EvaluationSet | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run has come: the collections it fills, the last chunk that is in them, chunks done and in all."""

    collections: tuple[str, ...] = ()
    tenant: TenantId = NOBODY
    chunk_id: str = ""
    done: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class ReindexRun:
    """One run, as it is stored."""

    id: str
    state: RunState
    phase: RunPhase
    options: ReindexOptions
    progress: Progress
    result: Mapping[str, Any]
    created_at: datetime
    updated_at: datetime
    error_code: str | None = None
    error_message: str | None = None


@dataclass(frozen=True, slots=True)
class KindPlan:
    """What a run would do about a kind of collection, and how many chunks are there, lack, or are too many."""

    kind: str
    collection: str
    action: Action
    chunks: int
    missing: int
    orphaned: int


@dataclass(frozen=True, slots=True)
class Quality:
    """How good a ranking is on an evaluation set: means over its queries."""

    ndcg: float
    recall: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """The quality of what is live and of what was built, by what was searched; the figures that decide are ``judged``."""

    before: Mapping[str, Quality] = field(default_factory=dict)
    after: Mapping[str, Quality] = field(default_factory=dict)
    judged: tuple[str, ...] = ()

    def loss(self) -> float:
        """Return by how much nDCG is worse than before, at worst."""
        return max((self.before[name].ndcg - self.after[name].ndcg for name in self.judged), default=0.0)
