"""The vectors of pages in SQL: what MaxSim compares, read back for the candidates that the index finds.

A page stands at a chunk of its document: the first one on it, or one without text where there is nothing to read. So tenant,
rights, filters, versions and purges are those of the chunk, here and in the collection that holds one pooled vector a page.
That collection can be made anew from these rows without the encoder.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, delete, func, insert, select

from advanced_rag.storage.database import TenantTransaction
from advanced_rag.storage.tables import chunks, page_vectors


@dataclass(frozen=True, slots=True)
class PageVectors:
    """One page: its chunk, the fingerprint of the encoder that saw it, and its vectors, packed."""

    chunk_id: str
    encoder: str
    vectors: bytes


def is_page() -> Any:
    """Return the condition that joins a chunk with the vectors of its page."""
    return and_(page_vectors.c.tenant_id == chunks.c.tenant_id, page_vectors.c.chunk_id == chunks.c.chunk_id)


class PageRepository:
    """The pages of one tenant."""

    def __init__(self, transaction: TenantTransaction) -> None:
        self._connection = transaction.connection
        self._tenant = transaction.tenant

    def put(self, pages: Sequence[PageVectors]) -> None:
        """Store the vectors of pages, in place of what was there."""
        if not pages:
            return
        ids = [page.chunk_id for page in pages]
        self._connection.execute(
            delete(page_vectors).where(page_vectors.c.tenant_id == self._tenant, page_vectors.c.chunk_id.in_(ids))
        )
        rows = [{"chunk_id": page.chunk_id, "encoder": page.encoder, "vectors": page.vectors} for page in pages]
        self._connection.execute(insert(page_vectors), [{"tenant_id": self._tenant, **row} for row in rows])

    def carry(self, document_id: str, version: int, onto: int) -> None:
        """Store the vectors of a version's pages for another version as well, each at the first chunk of its page."""
        old, new = chunks.alias(), chunks.alias()
        places = (
            select(new.c.page, func.min(new.c.ordinal).label("ordinal"))
            .where(new.c.tenant_id == self._tenant, new.c.document_id == document_id, new.c.version == onto)
            .group_by(new.c.page)
            .subquery()
        )
        found = (
            select(page_vectors.c.tenant_id, new.c.chunk_id, page_vectors.c.encoder, page_vectors.c.vectors)
            .join(old, and_(old.c.tenant_id == page_vectors.c.tenant_id, old.c.chunk_id == page_vectors.c.chunk_id))
            .join(places, places.c.page == old.c.page)
            .join(new, new.c.ordinal == places.c.ordinal)
            .where(old.c.tenant_id == self._tenant, old.c.document_id == document_id, old.c.version == version)
            .where(new.c.tenant_id == self._tenant, new.c.document_id == document_id, new.c.version == onto)
        )
        columns = ["tenant_id", "chunk_id", "encoder", "vectors"]
        self._connection.execute(insert(page_vectors).from_select(columns, found))

    def seen(self, chunk_ids: Sequence[str], encoder: str) -> set[str]:
        """Return those pages that this encoder has vectors of."""
        statement = select(page_vectors.c.chunk_id).where(
            page_vectors.c.tenant_id == self._tenant,
            page_vectors.c.chunk_id.in_(chunk_ids),
            page_vectors.c.encoder == encoder,
        )
        return set(self._connection.execute(statement).scalars())

    def packed(self, chunk_ids: Sequence[str], encoder: str) -> dict[str, bytes]:
        """Return the packed vectors of some pages, those that this encoder made."""
        statement = select(page_vectors.c.chunk_id, page_vectors.c.vectors).where(
            page_vectors.c.tenant_id == self._tenant,
            page_vectors.c.chunk_id.in_(chunk_ids),
            page_vectors.c.encoder == encoder,
        )
        return {row.chunk_id: bytes(row.vectors) for row in self._connection.execute(statement)}
