"""Sessions, messages and answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from advanced_rag.models.retrieval import Degradation

Role = Literal["user", "assistant"]


@dataclass(frozen=True, slots=True)
class Citation:
    """What the mark ``[n]`` in an answer stands for: characters [start, end) of a document."""

    n: int
    chunk_id: str
    document_id: str
    title: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Session:
    """A conversation of one user."""

    id: str
    title: str
    user_id: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    id: str
    session_id: str
    role: Role
    content: str
    citations: tuple[Citation, ...]
    answered: bool | None
    provider: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Source:
    """A passage an answer could be made from: which chunk of which version of which document."""

    chunk_id: str
    document_id: str
    version: int


@dataclass(frozen=True, slots=True)
class Lineage:
    """What made an answer: passages, collections, encoder, provider and its model, the settings of retrieval and chat."""

    sources: tuple[Source, ...]
    collections: Mapping[str, str]
    encoder: str
    provider: str
    model: str | None
    settings: Mapping[str, Any]
    degraded: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Turn:
    """A question and its answer, as they are kept."""

    question: str
    answer: str
    citations: tuple[Citation, ...]
    answered: bool
    provider: str
    lineage: Lineage


@dataclass(frozen=True, slots=True)
class ChatAnswer:
    """A checked, saved answer."""

    session_id: str
    message_id: str
    answer: str
    answered: bool
    citations: tuple[Citation, ...]
    provider: str
    degraded: list[Degradation]
    timings_ms: dict[str, float]
