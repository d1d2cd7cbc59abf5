"""Building the index anew."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from advanced_rag.api.schemas.base import MAX_QUERY_CHARS, Answer, Schema
from advanced_rag.models.index import GenerationState, StoredGeneration
from advanced_rag.models.reindex import Action, EvaluationSet, ReindexRun, RunPhase, RunState

MAX_QUERIES = 10_000
_EVALUATION = {"queries": {"q1": "Who has the spare key?"}, "judgments": {"q1": {"hello": 1}}}

Kind = Annotated[str, StringConstraints(min_length=1, max_length=64)]
_Kinds = Annotated[list[Kind], Field(min_length=1, max_length=32)]
Kinds = Annotated[
    _Kinds | None, Field(description="all, or some of semantic, sparse, domain_NAME, visual", examples=[["semantic"]])
]
_Key = Annotated[str, StringConstraints(min_length=1, max_length=255)]
_Query = Annotated[str, StringConstraints(min_length=1, max_length=MAX_QUERY_CHARS)]
_Gains = Annotated[dict[_Key, Annotated[int, Field(ge=-100, le=100)]], Field(max_length=10_000)]


class EvaluationIn(Schema):
    """Queries by id, and by the same id how good which documents of the caller's tenant are for them."""

    queries: Annotated[dict[_Key, _Query], Field(min_length=1, max_length=MAX_QUERIES)]
    judgments: Annotated[dict[_Key, _Gains], Field(min_length=1, max_length=MAX_QUERIES)]

    def as_set(self) -> EvaluationSet:
        """Return the evaluation set."""
        return EvaluationSet(self.queries, self.judgments)


class PlanRequest(Schema):
    """Which kinds of collections would be built anew; by default those that need it."""

    kinds: Kinds = None


class ReindexRequest(PlanRequest):
    """How the index is built anew; ``force`` switches although the new one is worse on the evaluation set."""

    batch_size: Annotated[int, Field(ge=1, le=1000)] | None = None
    verify: bool = False
    force: bool = False
    evaluation: Annotated[EvaluationIn | None, Field(examples=[_EVALUATION])] = None


class KindPlanOut(Answer):
    """What would be done about a kind of collection, and how many chunks are there, lack, or are too many."""

    kind: str
    collection: str
    action: Action
    chunks: int
    missing: int
    orphaned: int


class PlanOut(Answer):
    """What would be done."""

    kinds: list[KindPlanOut]


class RunOut(Answer):
    """How far a run has come, or what came of it."""

    id: str
    state: RunState
    phase: RunPhase
    collections: list[str]
    done: int
    total: int
    result: dict[str, Any]
    error_code: str | None
    error_message: str | None
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, run: ReindexRun) -> "RunOut":
        """Return what is told of a run."""
        return cls(
            id=run.id,
            state=run.state,
            phase=run.phase,
            collections=list(run.progress.collections),
            done=run.progress.done,
            total=run.progress.total,
            result=dict(run.result),
            error_code=run.error_code,
            error_message=run.error_message,
            created_at=run.created_at,
            updated_at=run.updated_at,
        )


class GenerationOut(Answer):
    """One collection, what it is there for, and since when."""

    kind: str
    collection: str
    state: GenerationState
    encoder: str
    model: str | None
    changed_at: datetime

    @classmethod
    def of(cls, stored: StoredGeneration) -> "GenerationOut":
        """Return what is told of a generation."""
        own = stored.generation
        return cls(
            kind=own.kind,
            collection=own.collection,
            state=stored.state,
            encoder=own.encoder,
            model=own.model,
            changed_at=stored.changed_at,
        )


class ReindexStatus(Answer):
    """The run that is running, or the last one; and the generations there are."""

    run: RunOut | None
    generations: list[GenerationOut]


class RollbackRequest(Schema):
    """Which kinds of collections to go back on; by default all that can be."""

    kinds: Kinds = None


class RollbackOut(Answer):
    """The collections that are searched again, by their kind."""

    live: dict[str, str]
