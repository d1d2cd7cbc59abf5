"""Documents, in and out."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from advanced_rag.api.schemas.base import Answer, DocumentId, DomainName, Name, Schema, Text
from advanced_rag.models.documents import DocumentInfo, IngestResult
from advanced_rag.models.rights import Rights, Visibility


class AccessIn(Schema):
    """Who may see a document besides its owner: ``private`` users listed, ``group`` groups too, ``tenant`` everybody."""

    visibility: Visibility
    users: list[Name] = Field(default_factory=list, max_length=100)
    groups: list[Name] = Field(default_factory=list, max_length=100)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.groups and self.visibility != "group":
            raise ValueError("groups are listed where visibility is group")
        if self.users and self.visibility == "tenant":
            raise ValueError("nobody is listed where visibility is tenant")
        return self

    def rights(self) -> Rights:
        """Return what the service is told."""
        return Rights(None, self.visibility, frozenset(self.users), frozenset(self.groups))


class AccessOut(Answer):
    """Who may see a document."""

    owner: str | None
    visibility: Visibility
    users: list[str]
    groups: list[str]

    @classmethod
    def of(cls, rights: Rights) -> "AccessOut":
        """Make it from what the service says."""
        users = sorted(rights.users - {rights.owner})
        return cls(owner=rights.owner, visibility=rights.visibility, users=users, groups=sorted(rights.groups))


class DocumentIn(Schema):
    """A document to ingest; without an id it gets one made from its content."""

    id: DocumentId | None = None
    title: Annotated[str, StringConstraints(max_length=1000)] | None = None
    text: Text
    metadata: dict[str, Any] = Field(default_factory=dict)
    domain: DomainName | None = None
    access: AccessIn | None = Field(None, description="who may see it; left out, a new document is for the whole tenant")


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
