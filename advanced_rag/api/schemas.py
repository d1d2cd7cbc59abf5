"""What goes over the wire. Unknown fields are refused; numbers are numbers, never strings."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from advanced_rag.models.chat import ChatAnswer, Message, Session
from advanced_rag.models.documents import DocumentInfo, IngestResult
from advanced_rag.models.retrieval import Hit, RetrieveResult

MAX_TEXT_CHARS = 1_000_000
MAX_METADATA_BYTES = 16_384
MAX_QUERY_CHARS = 4_000


class Schema(BaseModel):
    """Base of everything received."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Answer(BaseModel):
    """Base of everything sent."""

    model_config = ConfigDict(from_attributes=True)


def _not_blank(value: str) -> str:
    if not any(character.isprintable() and not character.isspace() for character in value):
        raise ValueError("must not be blank")
    return value


def _document_id(value: str) -> str:
    if value != value.strip() or not value.isprintable() or set(value) & {"/", "\\"} or not value.strip("."):
        raise ValueError("must be printable, without slashes, spaces at its ends, and not only dots")
    return value


DocumentId = Annotated[str, StringConstraints(min_length=1, max_length=255), AfterValidator(_document_id)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=MAX_TEXT_CHARS), AfterValidator(_not_blank)]
Query = Annotated[str, StringConstraints(min_length=1, max_length=MAX_QUERY_CHARS), AfterValidator(_not_blank)]
Title = Annotated[str, StringConstraints(min_length=1, max_length=255), AfterValidator(_not_blank)]
DomainName = Annotated[str, StringConstraints(min_length=1, max_length=32)]
Leg = Literal["semantic", "sparse", "domain"]
Weight = Annotated[float, Field(ge=0, le=1, strict=False)]


class DocumentIn(Schema):
    """A document to ingest; without an id it gets one made from its content."""

    id: DocumentId | None = None
    title: Annotated[str, StringConstraints(max_length=1000)] | None = None
    text: Text
    metadata: dict[str, Any] = Field(default_factory=dict)
    domain: DomainName | None = None


class IngestRequest(Schema):
    """Documents to ingest."""

    documents: list[DocumentIn] = Field(min_length=1, max_length=1000)


class ItemError(Answer):
    """Why one document failed."""

    code: str
    message: str


class IngestedDocument(Answer):
    """What became of one document."""

    id: str
    status: Literal["created", "replaced", "unchanged", "failed"]
    version: int | None = None
    chunks: int
    error: ItemError | None = None

    @classmethod
    def of(cls, result: IngestResult) -> "IngestedDocument":
        """Make it from what the service says."""
        error = ItemError(code=result.error_code, message=result.error_message or "") if result.error_code else None
        return cls(id=result.id, status=result.status, version=result.version, chunks=result.chunks, error=error)


class IngestResponse(Answer):
    """One result per document, in the order they came."""

    documents: list[IngestedDocument]
    request_id: str | None = None


class DocumentOut(Answer):
    """A document; its text only where one is asked for."""

    id: str
    title: str
    version: int
    chunks: int
    metadata: dict[str, Any]
    domain: str | None = None
    created_at: datetime
    updated_at: datetime
    text: str | None = None

    @classmethod
    def of(cls, info: DocumentInfo) -> "DocumentOut":
        """Make it from what the service says."""
        document = info.document
        return cls(
            id=document.document_id,
            title=document.title,
            version=document.version,
            chunks=info.chunks,
            metadata=dict(document.metadata),
            domain=document.domain,
            created_at=info.created_at,
            updated_at=info.updated_at,
            text=info.text,
        )


class DocumentPage(Answer):
    """A page of documents."""

    documents: list[DocumentOut]
    next_cursor: str | None = None


class DeletedResponse(Answer):
    """Something was deleted."""

    id: str
    deleted: bool = True
    request_id: str | None = None


class RetrieveRequest(Schema):
    """What to look for, and how."""

    query: Query
    top_k: int = Field(10, ge=1, le=100)
    filters: dict[str, Any] | None = None
    domain: DomainName | None = None
    search_mode: Literal["hybrid", "semantic", "sparse", "domain"] = "hybrid"
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


class ChatRequest(Schema):
    """A question, in a session or opening one."""

    message: Query
    session_id: Annotated[str, StringConstraints(max_length=64)] | None = None
    top_k: int | None = Field(None, ge=1, le=20)
    filters: dict[str, Any] | None = None
    domain: DomainName | None = None
    stream: bool = False


class CitationOut(Answer):
    """What a mark [n] stands for."""

    n: int
    chunk_id: str
    document_id: str
    title: str
    start: int
    end: int


class ChatResponse(Answer):
    """An answer with its citations."""

    session_id: str
    message_id: str
    answer: str
    answered: bool
    citations: list[CitationOut]
    provider: str
    degraded: list[DegradedOut]
    timings_ms: dict[str, float]
    request_id: str | None

    @classmethod
    def of(cls, answer: ChatAnswer, request_id: str | None) -> "ChatResponse":
        """Make it from what the service says."""
        return cls(
            session_id=answer.session_id,
            message_id=answer.message_id,
            answer=answer.answer,
            answered=answer.answered,
            citations=[CitationOut.model_validate(item) for item in answer.citations],
            provider=answer.provider,
            degraded=[DegradedOut.model_validate(item) for item in answer.degraded],
            timings_ms=answer.timings_ms,
            request_id=request_id,
        )


class SessionRequest(Schema):
    """A title for a session."""

    title: Title


class SessionOut(Answer):
    """A conversation."""

    id: str
    title: str
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, session: Session) -> "SessionOut":
        """Make it from what the service says."""
        return cls.model_validate(session)


class SessionPage(Answer):
    """A page of sessions."""

    sessions: list[SessionOut]
    next_cursor: str | None


class MessageOut(Answer):
    """One turn of a conversation."""

    id: str
    role: Literal["user", "assistant"]
    content: str
    citations: list[CitationOut]
    answered: bool | None
    provider: str | None
    created_at: datetime

    @classmethod
    def of(cls, message: Message) -> "MessageOut":
        """Make it from what the service says."""
        return cls.model_validate(message)


class MessagePage(Answer):
    """A page of messages."""

    messages: list[MessageOut]
    next_cursor: str | None


class FeedbackRequest(Schema):
    """What somebody thinks of an answer: 1 (bad) to 5 (good)."""

    message_id: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    rating: int = Field(ge=1, le=5)
    comment: Annotated[str, StringConstraints(max_length=2000)] | None = None


class FeedbackResponse(Answer):
    """Feedback was kept."""

    id: str
    request_id: str | None


class VerifyRequest(Schema):
    """Whether to mend what differs."""

    repair: bool = False


class CollectionOut(Answer):
    """How one collection compares with SQL, in chunks."""

    collection: str
    expected: int
    found: int
    missing: int
    orphaned: int
    repaired: int


class VerifyResponse(Answer):
    """Whether SQL and Milvus agree."""

    agrees: bool
    collections: list[CollectionOut]
    request_id: str | None


class StatusResponse(Answer):
    """What the service holds and is made of."""

    version: str
    documents: int
    chunks: int
    collections: dict[str, str]
    encoder: str
    runtime: str
    jobs: dict[str, int]


class ErrorBody(Answer):
    """What went wrong."""

    code: str
    message: str
    details: dict[str, Any] | None = None
    field_errors: list[dict[str, str]] | None = None
    request_id: str | None
    timestamp: datetime


class ErrorResponse(Answer):
    """The shape of every error."""

    error: ErrorBody
