"""Deleting documents, at once or when they expire, and what is told of it."""

from datetime import datetime
from typing import Any, Literal, Self

from pydantic import ConfigDict, Field, field_validator, model_validator

from advanced_rag.api.schemas.base import Answer, Schema
from advanced_rag.models.deletion import BulkDeletion, DeletionReceipt, Tombstone


class ReceiptOfDeletion(Answer):
    """How much was removed, and how much was left when the stores were asked afterwards.

    ``pending``: something is left, or a store did not answer (null); its purge is queued, and nobody finds it meanwhile.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "at": "2026-01-31T12:00:00Z",
                    "state": "done",
                    "removed": {"documents": 1, "versions": 2, "chunks": 9, "pages": 0, "access": 0, "files": 0},
                    "left": {"documents": 0, "versions": 0, "chunks": 0, "pages": 0, "access": 0, "files": 0, "vectors": 0},
                }
            ]
        }
    )

    at: datetime
    state: Literal["done", "pending"]
    removed: dict[str, int]
    left: dict[str, int | None]


class DeletedResponse(Answer):
    """A document was deleted."""

    id: str
    deleted: bool = True
    receipt: ReceiptOfDeletion
    request_id: str | None = None

    @classmethod
    def of(cls, document_id: str, receipt: DeletionReceipt, request_id: str | None) -> "DeletedResponse":
        """Make it from what the service says."""
        told = ReceiptOfDeletion(
            at=receipt.at,
            state="done" if receipt.is_done else "pending",
            removed=dict(receipt.removed),
            left=dict(receipt.left),
        )
        return cls(id=document_id, receipt=told, request_id=request_id)


class BulkDeleteRequest(Schema):
    """Which documents to delete: those a filter matches, or all that the caller may see."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"filters": {"team": "office"}, "dry_run": True}]})

    filters: dict[str, Any] = Field(default_factory=dict, description="as in /v1/retrieve")
    all: bool = Field(default=False, description="every document; goes without filters")
    dry_run: bool = Field(default=True, description="count, and delete nothing")
    limit: int = Field(1000, ge=1, le=10_000, description="documents deleted at most")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.all == bool(self.filters):
            raise ValueError("send filters, or all: true without any")
        return self


class BulkDeletedResponse(Answer):
    """What became of the documents that match; ``ids`` are the first hundred that are, or would be, deleted.

    ``held`` are kept by legal holds; ``pending`` are deleted, with vectors that are still to be purged. Unless it is
    ``complete``, more may match: the same request goes on.
    """

    dry_run: bool
    matched: int
    deleted: int
    held: int
    pending: int
    ids: list[str]
    complete: bool
    request_id: str | None = None

    @classmethod
    def of(cls, done: BulkDeletion, *, dry_run: bool, request_id: str | None) -> "BulkDeletedResponse":
        """Make it from what the service says."""
        return cls(
            dry_run=dry_run,
            matched=done.matched,
            deleted=done.deleted,
            held=done.held,
            pending=done.pending,
            ids=list(done.ids),
            complete=done.is_complete,
            request_id=request_id,
        )


class TombstoneOut(Answer):
    """What is left of a deleted document; without ``deleted_by`` it expired, or nobody knows any more who did it."""

    id: str
    version: int
    deleted_at: datetime
    deleted_by: str | None = None

    @classmethod
    def of(cls, item: Tombstone) -> "TombstoneOut":
        """Make it from what the service says."""
        return cls(id=item.document_id, version=item.version, deleted_at=item.deleted_at, deleted_by=item.deleted_by)


class TombstonePage(Answer):
    """A page of deleted documents."""

    deleted: list[TombstoneOut]
    next_cursor: str | None = None


class ExpiryIn(Schema):
    """When a document is to be deleted, with the offset from UTC; null: not by itself."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"expires_at": "2030-01-01T00:00:00Z"}]})

    expires_at: datetime | None

    @field_validator("expires_at", mode="before")
    @classmethod
    def _parsed(cls, value: Any) -> Any:
        return datetime.fromisoformat(value) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _has_an_offset(self) -> Self:
        if self.expires_at is not None and self.expires_at.utcoffset() is None:
            raise ValueError("a moment has its offset from UTC")
        return self
