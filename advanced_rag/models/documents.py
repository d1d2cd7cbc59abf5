"""Documents, their versions and chunks, and what ingestion says of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, Literal, NewType, TypeVar

from advanced_rag.models.rights import Rights

T = TypeVar("T")

TenantId = NewType("TenantId", str)
DEFAULT_TENANT = TenantId("default")

Priority = Literal["high", "normal", "low"]
IngestStatus = Literal["created", "replaced", "updated", "unchanged", "failed"]
VersionState = Literal["indexing", "current", "superseded", "failed"]


@dataclass(frozen=True, slots=True)
class Source:
    """The file a document is made of; ``job_id`` names it where files wait. What was found out of it comes later."""

    job_id: str
    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Origin:
    """What the text of a ``version`` brings along: the hash that tells its content, and what is known of its file.

    It is taken only while the document stands as it did: at its ``current`` version, with the content of ``current_hash``,
    and the ``last`` one there is.
    """

    version: int
    content_hash: str
    source: Mapping[str, Any] | None
    current: int
    current_hash: str | None
    last: int

    @property
    def has_pages_seen(self) -> bool:
        """Whether there may be vectors of its pages: those of older versions are purged."""
        return self.version == self.current and (self.source or {}).get("route") == "visual"


@dataclass(frozen=True, slots=True)
class DocumentInput:
    """One document as it is handed in: a text whose ``title`` is settled, or a file that may bring its title."""

    id: str
    title: str
    text: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    domain: str | None = None
    rights: Rights | None = None  # None leaves them as they are
    source: Source | None = None
    origin: Origin | None = None
    priority: Priority = "normal"


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of a text: characters [start, end), the headings above it, its size in tokens, the page it stands on."""

    start: int
    end: int
    headings: tuple[str, ...]
    tokens: int
    page: int | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of one document version, as it is stored, embedded and cited."""

    chunk_id: str
    document_id: str
    version: int
    ordinal: int
    text: str
    headings: tuple[str, ...]
    start: int
    end: int
    tokens: int
    page: int | None = None


@dataclass(frozen=True, slots=True)
class DocumentVersion:
    """One version of a document: everything about it but its chunks."""

    document_id: str
    version: int
    title: str
    metadata: Mapping[str, Any]
    domain: str | None

    @property
    def declared(self) -> dict[str, str | None]:
        """The fields a filter can name besides metadata."""
        return {"document_id": self.document_id, "domain": self.domain, "title": self.title}


@dataclass(frozen=True, slots=True)
class DocumentInfo:
    """A document as it is listed; text and what is known of its file only where one is asked for."""

    document: DocumentVersion
    chunks: int
    created_at: datetime
    updated_at: datetime
    text: str | None = None
    expires_at: datetime | None = None
    source: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class VersionInfo:
    """A version as its document's history tells of it; its text only where one is asked for."""

    document: DocumentVersion
    state: VersionState
    chunks: int
    bytes: int
    created_at: datetime
    content_hash: str
    source: Mapping[str, Any] | None
    text: str = ""

    @property
    def is_current(self) -> bool:
        """Whether this is what is found now."""
        return self.state == "current"


@dataclass(frozen=True, slots=True)
class IngestResult:
    """What became of one ingested document."""

    id: str
    status: IngestStatus
    version: int | None
    chunks: int
    error_code: str | None = None
    error_message: str | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A page of a listing and the cursor of the next one."""

    items: list[T]
    next_cursor: str | None
