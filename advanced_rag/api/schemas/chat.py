"""Chat, sessions, feedback."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from advanced_rag.api.schemas.base import Answer, DomainName, Name, Query, Schema
from advanced_rag.api.schemas.retrieve import DegradedOut
from advanced_rag.models.chat import ChatAnswer, Message, Session


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

    title: Name


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


class SourceOut(Answer):
    """A passage an answer could be made from."""

    chunk_id: str
    document_id: str
    version: int


class LineageOut(Answer):
    """What made an answer: passages, collections, encoder, provider and model, settings, what it had to do without."""

    sources: list[SourceOut]
    collections: dict[str, str]
    encoder: str
    provider: str
    model: str | None
    settings: dict[str, Any]
    degraded: list[str]


class FeedbackRequest(Schema):
    """What somebody thinks of an answer: 1 (bad) to 5 (good)."""

    message_id: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    rating: int = Field(ge=1, le=5)
    comment: Annotated[str, StringConstraints(max_length=2000)] | None = None


class FeedbackResponse(Answer):
    """Feedback was kept."""

    id: str
    request_id: str | None
