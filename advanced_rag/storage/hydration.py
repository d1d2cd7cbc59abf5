"""Hydration: reading found chunks back from SQL, which says whether they exist and who may see them."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, and_, bindparam, select

from advanced_rag.models.documents import Chunk, DocumentVersion
from advanced_rag.models.identity import Reader
from advanced_rag.models.retrieval import Hydrated
from advanced_rag.storage.database import TenantTransaction
from advanced_rag.storage.rights import open_to
from advanced_rag.storage.tables import chunks, document_versions, documents


def hydrate(transaction: TenantTransaction, chunk_ids: Sequence[str], reader: Reader) -> dict[str, Hydrated]:
    """Read chunks back; those of versions that are not current, or not for this reader, are left out."""
    parameters: dict[str, Any] = {"tenant": transaction.tenant, "chunk_ids": chunk_ids}
    if reader.subjects is None:
        rows = transaction.connection.execute(_HYDRATION, parameters)
    else:
        rows = transaction.connection.execute(_FOR_SUBJECTS, parameters | {"subjects": sorted(reader.subjects)})
    return {row[0]: _hydrated(*row) for row in rows}


def is_current() -> Any:
    """Return the condition that joins a document with its current version."""
    return and_(
        document_versions.c.tenant_id == documents.c.tenant_id,
        document_versions.c.document_id == documents.c.id,
        document_versions.c.version == documents.c.current_version,
    )


def is_visible() -> Any:
    """Return the condition that joins a chunk with the document it is a part of now."""
    return and_(
        documents.c.tenant_id == chunks.c.tenant_id,
        documents.c.id == chunks.c.document_id,
        documents.c.current_version == chunks.c.version,
    )


# Built once: every retrieval runs it, and building it costs more than the database does.
_HYDRATION: Select[Any] = (
    select(
        chunks.c.chunk_id,
        chunks.c.document_id,
        chunks.c.version,
        chunks.c.ordinal,
        chunks.c.text,
        chunks.c.headings,
        chunks.c.start,
        chunks.c.end,
        chunks.c.tokens,
        chunks.c.page,
        document_versions.c.title,
        document_versions.c.metadata,
        document_versions.c.domain,
    )
    .select_from(chunks.join(documents, is_visible()).join(document_versions, is_current()))
    .where(
        chunks.c.tenant_id == bindparam("tenant"),
        documents.c.tenant_id == bindparam("tenant"),
        chunks.c.chunk_id.in_(bindparam("chunk_ids", expanding=True)),
    )
)

_FOR_SUBJECTS = _HYDRATION.where(open_to(bindparam("subjects", expanding=True)))


def _hydrated(
    chunk_id: str,
    document_id: str,
    version: int,
    ordinal: int,
    text: str,
    headings: list[str],
    start: int,
    end: int,
    tokens: int,
    page: int | None,
    title: str,
    metadata: dict[str, Any],
    domain: str | None,
) -> Hydrated:
    chunk = Chunk(chunk_id, document_id, version, ordinal, text, tuple(headings), start, end, tokens, page)
    return Hydrated(chunk, DocumentVersion(document_id, version, title, metadata, domain))
