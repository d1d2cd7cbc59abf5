"""Jobs and what is told of them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from advanced_rag.api.schemas.base import Answer
from advanced_rag.api.schemas.documents import ItemError
from advanced_rag.models.jobs import JobEvent, JobInfo, JobState, Stage


class StageOut(Answer):
    """A stage a job has come through, and what was counted there."""

    stage: Stage
    status: JobState
    at: datetime
    progress: float
    data: dict[str, Any]


class JobOut(Answer):
    """An ingestion: ``stage`` is the last one it has come through, ``progress`` an estimate from 0 to 1."""

    job_id: str
    document_id: str
    version: int
    status: JobState
    stage: Stage
    progress: float
    attempts: int
    retakes: int
    error: ItemError | None = None
    details: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    stages: list[StageOut] | None = None

    @classmethod
    def of(cls, job: JobInfo, events: Sequence[JobEvent] | None = None) -> "JobOut":
        """Make it from what the service says."""
        stages = [
            StageOut(stage=news.stage, status=news.state, at=event.at, progress=news.progress, data=dict(news.data))
            for event in events or ()
            for news in [event.news]
        ]
        error = ItemError(code=job.error_code, message=job.error_message or "") if job.error_code else None
        return cls(
            job_id=job.id,
            document_id=job.document_id,
            version=job.version,
            status=job.state,
            stage=job.stage,
            progress=job.progress,
            attempts=job.attempts,
            retakes=job.retakes,
            error=error,
            details=dict(job.details),
            created_at=job.created_at,
            updated_at=job.updated_at,
            stages=stages if events is not None else None,
        )


class JobPage(Answer):
    """A page of jobs."""

    jobs: list[JobOut]
    next_cursor: str | None = None


class PurgedResponse(Answer):
    """How many dead jobs were removed."""

    purged: int
    request_id: str | None = None


class JobEventOut(Answer):
    """What happened to a job; ``cursor`` is where to go on from."""

    cursor: int
    job_id: str
    document_id: str
    status: JobState
    stage: Stage
    progress: float
    at: datetime
    data: dict[str, Any]

    @classmethod
    def of(cls, event: JobEvent) -> "JobEventOut":
        """Make it from what the service says."""
        news = event.news
        return cls(
            cursor=event.number,
            job_id=news.job_id,
            document_id=news.document_id,
            status=news.state,
            stage=news.stage,
            progress=news.progress,
            at=event.at,
            data=dict(news.data),
        )
