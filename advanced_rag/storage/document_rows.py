"""Rows of documents, versions and chunks, and what they stand for."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row

from advanced_rag.models.documents import Chunk, DocumentInfo, DocumentVersion, TenantId


@dataclass(frozen=True, slots=True)
class NewVersion:
    """A version about to be indexed, with its chunks."""

    document: DocumentVersion
    text: str
    content_hash: str
    chunks: tuple[Chunk, ...]
    source: Mapping[str, Any] | None = None


def version_row(tenant: TenantId, item: NewVersion, moment: datetime) -> dict[str, Any]:
    """Return the row of a version that is not visible yet."""
    document = item.document
    return {
        "tenant_id": tenant,
        "document_id": document.document_id,
        "version": document.version,
        "state": "indexing",
        "content_hash": item.content_hash,
        "title": document.title,
        "text": item.text,
        "metadata": dict(document.metadata),
        "domain": document.domain,
        "chunk_count": len(item.chunks),
        "bytes": len(item.text.encode()),
        "source": dict(item.source) if item.source else None,
        "created_at": moment,
    }


def chunk_row(tenant: TenantId, chunk: Chunk) -> dict[str, Any]:
    """Return the row of a chunk."""
    return {
        "chunk_id": chunk.chunk_id,
        "tenant_id": tenant,
        "document_id": chunk.document_id,
        "version": chunk.version,
        "ordinal": chunk.ordinal,
        "text": chunk.text,
        "headings": list(chunk.headings),
        "page": chunk.page,
        "start": chunk.start,
        "end": chunk.end,
        "tokens": chunk.tokens,
    }


def version_of(row: Row[Any]) -> DocumentVersion:
    """Return the version of a row."""
    return DocumentVersion(row.document_id, row.version, row.title, row.document_metadata, row.domain)


def chunk_of(row: Row[Any]) -> Chunk:
    """Return the chunk of a row."""
    return Chunk(
        chunk_id=row.chunk_id,
        document_id=row.document_id,
        version=row.version,
        ordinal=row.ordinal,
        text=row.text,
        headings=tuple(row.headings),
        start=row.start,
        end=row.end,
        tokens=row.tokens,
        page=row.page,
    )


def info_of(row: Row[Any], text: str | None = None) -> DocumentInfo:
    """Return the document of a row."""
    known = (row.chunk_count, row.created_at, row.updated_at)
    return DocumentInfo(version_of(row), *known, text=text, expires_at=row.expires_at, source=row.source)
