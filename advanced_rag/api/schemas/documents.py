"""Documents, in and out."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from advanced_rag.api.schemas.base import Answer, DocumentId, DomainName, Name, Schema, Text
from advanced_rag.models.documents import DocumentInfo, IngestResult, Priority
from advanced_rag.models.jobs import JobInfo
from advanced_rag.models.rights import Rights, Visibility
from advanced_rag.services.intake import Admitted


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


class UploadIn(Schema):
    """What a sender says of a file; without an id the document gets one made from the content, without a title its own."""

    id: DocumentId | None = None
    title: Annotated[str, StringConstraints(max_length=1000)] | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)
    domain: DomainName | None = None
    access: AccessIn | None = Field(None, description="who may see it; left out, a new document is for the whole tenant")
    priority: Priority = Field("normal", description="among the queued documents of the tenant")


class DocumentIn(UploadIn):
    """A document to ingest; without an id it gets one made from its content."""

    text: Text


class IngestRequest(Schema):
    """Documents to ingest, or the address of one file."""

    documents: list[DocumentIn] | None = Field(None, min_length=1, max_length=1000)
    url: Annotated[str, StringConstraints(min_length=1, max_length=2000)] | None = None
    document: UploadIn | None = Field(None, description="what is said of the file behind the address")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.documents is None) == (self.url is None):
            raise ValueError("send either documents or url")
        if self.document is not None and self.url is None:
            raise ValueError("document goes with url")
        return self


class ItemError(Answer):
    """Why one document failed."""

    code: str
    message: str


class IngestedDocument(Answer):
    """What became of one document."""

    id: str
    status: Literal["created", "replaced", "updated", "unchanged", "failed"]
    version: int | None = None
    chunks: int
    error: ItemError | None = None

    @classmethod
    def of(cls, result: IngestResult) -> "IngestedDocument":
        """Make it from what the service says."""
        error = ItemError(code=result.error_code, message=result.error_message or "") if result.error_code else None
        return cls(id=result.id, status=result.status, version=result.version, chunks=result.chunks, error=error)

    @classmethod
    def of_job(cls, job: JobInfo) -> "IngestedDocument":
        """Make it from a job that has ended."""
        if job.state != "ready":
            code = job.error_code or job.state
            error = ItemError(code=code, message=job.error_message or f"the job is {job.state}")
            return cls(id=job.document_id, status="failed", chunks=0, error=error)
        return cls(id=job.document_id, status=job.details["outcome"], version=job.version, chunks=job.total)


class IngestResponse(Answer):
    """One result per document, in the order they came."""

    documents: list[IngestedDocument]
    request_id: str | None = None


class AdmittedDocument(Answer):
    """A document that was taken in, and where to ask what becomes of it."""

    document_id: str
    job_id: str
    status: Literal["queued", "running", "ready", "unchanged", "failed"]
    status_url: str
    events_url: str
    error: ItemError | None = None

    @classmethod
    def of(cls, item: Admitted) -> "AdmittedDocument":
        """Make it from what the service says."""
        error = ItemError(code=item.error_code, message=item.error_message or "") if item.error_code else None
        url = f"/v1/jobs/{item.job_id}"
        return cls(
            document_id=item.document_id,
            job_id=item.job_id,
            status=item.status,
            status_url=url,
            events_url=f"{url}/events",
            error=error,
        )


class AdmittedResponse(Answer):
    """One answer per document, in the order they came; each is finished in the background."""

    documents: list[AdmittedDocument]
    request_id: str | None = None


class DocumentOut(Answer):
    """A document; its text, and what was found out of its file, only where one is asked for."""

    id: str
    title: str
    version: int
    chunks: int
    metadata: dict[str, Any]
    domain: str | None = None
    created_at: datetime
    updated_at: datetime
    expires_at: datetime | None = None
    text: str | None = None
    source: dict[str, Any] | None = None

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
            expires_at=info.expires_at,
            text=info.text,
            source={name: value for name, value in info.source.items() if name not in {"pages", "reading"}}
            if info.source
            else None,
        )


class DocumentPage(Answer):
    """A page of documents."""

    documents: list[DocumentOut]
    next_cursor: str | None = None
