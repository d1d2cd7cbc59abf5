"""Jobs: work that is finished whatever crashes, and what their owners are told of it."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, get_args

from advanced_rag.models.documents import Priority, TenantId

JobKind = Literal["ingest", "purge", "label"]
JobState = Literal["queued", "running", "ready", "failed", "cancelled", "dead"]
Stage = Literal["received", "parsed", "classified", "chunked", "embedded", "indexed", "ready"]

SUPERSEDED, SUPERSEDED_MESSAGE = "superseded", "a newer version or a deletion of the document came in meanwhile"
STAGES: tuple[Stage, ...] = get_args(Stage)
ENDED: tuple[JobState, ...] = ("ready", "failed", "cancelled", "dead")
MAX_CURSOR = 2**53  # what JSON numbers are exact up to
_SHARES: Mapping[Stage, float] = {
    "received": 0.0,
    "parsed": 0.2,
    "classified": 0.2,
    "chunked": 0.3,
    "embedded": 0.9,
    "indexed": 0.95,
    "ready": 1.0,
}


@dataclass(frozen=True, slots=True)
class Job:
    """Work on the versions [start, below) of one document: ingest them, purge them; or label what it has now.

    ``stage`` is the last one an ingestion has come through, ``done`` of ``total`` chunks are in the index. ``attempts``
    counts what was tried, ``retakes`` how often a worker was lost over it.
    """

    id: str
    tenant: TenantId
    kind: JobKind
    document_id: str
    start: int
    below: int
    attempts: int = 0
    retakes: int = 0
    user_id: str | None = None
    stage: Stage | None = None
    done: int = 0
    total: int = 0
    details: Mapping[str, Any] = field(default_factory=dict)
    priority: Priority = "normal"

    def news(self, state: JobState, stage: Stage, *, done: int = 0, **data: Any) -> "JobNews":
        """Return what is to be told of this job."""
        return JobNews(self.id, self.document_id, self.user_id, state, stage, progress(stage, done, self.total), data)


@dataclass(frozen=True, slots=True)
class JobInfo:
    """An ingestion as its owner sees it."""

    id: str
    document_id: str
    version: int
    state: JobState
    stage: Stage
    done: int
    total: int
    attempts: int
    retakes: int
    error_code: str | None
    error_message: str | None
    details: Mapping[str, Any]
    created_at: datetime
    updated_at: datetime

    @property
    def progress(self) -> float:
        """How far it has come, 0 to 1: an estimate."""
        return progress(self.stage, self.done, self.total)


@dataclass(frozen=True, slots=True)
class JobNews:
    """What is to be told of a job: the state and stage it is in now."""

    job_id: str
    document_id: str
    user_id: str | None
    state: JobState
    stage: Stage
    progress: float
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class JobEvent:
    """News as they were told; ``number`` counts those of a tenant, without a gap, and is the cursor to go on from."""

    number: int
    at: datetime
    news: JobNews


def new_job(tenant: TenantId, kind: JobKind, document_id: str, start: int, below: int) -> Job:
    """Return a job that is not stored yet."""
    return Job(str(uuid.uuid4()), tenant, kind, document_id, start, below)


def progress(stage: Stage, done: int, total: int) -> float:
    """Return how far an ingestion has come, 0 to 1: chunks count from the stage that made them to the next."""
    if stage != "chunked" or not total:
        return _SHARES[stage]
    before, after = _SHARES["chunked"], _SHARES["embedded"]
    return round(before + (after - before) * min(done / total, 1.0), 3)
