"""Which chunks belong in the index, as SQL says it: in order of their ids, some at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, Select, and_, func, or_, select

from advanced_rag.models.documents import Chunk, DocumentVersion
from advanced_rag.models.index import VISUAL, Generation
from advanced_rag.models.rights import Rights
from advanced_rag.storage.database import TenantTransaction
from advanced_rag.storage.document_rows import chunk_of, version_of
from advanced_rag.storage.hydration import is_current, is_visible
from advanced_rag.storage.pages import is_page
from advanced_rag.storage.rights import RightsRepository, StoredRights
from advanced_rag.storage.tables import chunks, document_versions, documents, jobs, page_vectors

Standing = tuple[int, str, str]


@dataclass(frozen=True, slots=True)
class Place:
    """Of which version of which document a chunk is a part."""

    document_id: str
    version: int


@dataclass(frozen=True, slots=True)
class Stocked:
    """A chunk as it belongs in the index; while its standing stays the same, that is what the index should hold."""

    document: DocumentVersion
    chunk: Chunk
    rights: Rights
    standing: Standing


class InventoryRepository:
    """The chunks of one tenant: those that may be found, and those on their way there."""

    def __init__(self, transaction: TenantTransaction) -> None:
        self._transaction = transaction
        self._connection = transaction.connection
        self._tenant = transaction.tenant

    def count(self, generation: Generation) -> int:
        """Return how many chunks a collection should hold."""
        statement = visible_in(generation, func.count()).where(chunks.c.tenant_id == self._tenant)
        return int(self._connection.execute(statement).scalar_one())

    def visible(self, start: str, below: str, generation: Generation) -> dict[str, Place]:
        """Return the chunks that a collection should hold and that have ids in [start, below)."""
        columns = (chunks.c.chunk_id, chunks.c.document_id, chunks.c.version)
        between = (chunks.c.tenant_id == self._tenant, chunks.c.chunk_id >= start, chunks.c.chunk_id < below)
        rows = self._connection.execute(visible_in(generation, *columns).where(*between))
        return {row[0]: Place(row[1], row[2]) for row in rows}

    def size(self) -> int:
        """Return how many chunks may be found or are being indexed."""
        return int(self._connection.execute(self._wanted(func.count())).scalar_one())

    def page(self, after: str, limit: int) -> list[str]:
        """Return the next ids of chunks that may be found or are being indexed."""
        statement = self._wanted(chunks.c.chunk_id).where(chunks.c.chunk_id > after)
        return list(self._connection.execute(statement.order_by(chunks.c.chunk_id).limit(limit)).scalars())

    def load(self, chunk_ids: Sequence[str]) -> dict[str, Stocked]:
        """Return those of some chunks that may be found or are being indexed."""
        columns = (
            *chunks.c,
            document_versions.c.title,
            document_versions.c.metadata.label("document_metadata"),
            document_versions.c.domain,
            *_STANDING,
        )
        rows = self._connection.execute(self._wanted(*columns).where(chunks.c.chunk_id.in_(chunk_ids))).all()
        rights = self._rights(rows)
        return {
            row.chunk_id: Stocked(
                version_of(row), chunk_of(row), rights[row.document_id, row.version].rights, _standing(row)
            )
            for row in rows
        }

    def standings(self, chunk_ids: Sequence[str]) -> dict[str, Standing]:
        """Return what tells whether something about chunks has changed; those that are not wanted any more are left out."""
        statement = self._wanted(chunks.c.chunk_id, *_STANDING).where(chunks.c.chunk_id.in_(chunk_ids))
        return {row.chunk_id: _standing(row) for row in self._connection.execute(statement)}

    def pending(self) -> list[tuple[Place, int]]:
        """Return what jobs are at: a document, and the versions from that of the place to below the number."""
        statement = select(jobs.c.document_id, jobs.c.from_version, jobs.c.below_version).where(
            jobs.c.tenant_id == self._tenant, jobs.c.state.in_(["queued", "running"])
        )
        return [(Place(row[0], row[1]), row[2]) for row in self._connection.execute(statement)]

    def _wanted(self, *columns: Any) -> Any:
        document = and_(documents.c.tenant_id == chunks.c.tenant_id, documents.c.id == chunks.c.document_id)
        version = and_(
            document_versions.c.tenant_id == chunks.c.tenant_id,
            document_versions.c.document_id == chunks.c.document_id,
            document_versions.c.version == chunks.c.version,
        )
        is_wanted = or_(documents.c.current_version == chunks.c.version, document_versions.c.state == "indexing")
        joined = chunks.join(documents, document).join(document_versions, version)
        return select(*columns).select_from(joined).where(chunks.c.tenant_id == self._tenant, is_wanted)

    def _rights(self, rows: Sequence[Row[Any]]) -> dict[tuple[str, int], StoredRights]:
        """Return whom chunks are for: the rights of their documents, or those that come with a version on its way."""
        repository = RightsRepository(self._transaction)
        stored = repository.of(sorted({row.document_id for row in rows}))
        coming = {row.document_id: row.version for row in sorted(rows, key=_version) if row.state == "indexing"}
        planned = repository.planned(coming) if coming else {}
        return {
            (row.document_id, row.version): planned.get(row.document_id, stored[row.document_id])
            if coming.get(row.document_id) == row.version
            else stored[row.document_id]
            for row in rows
        }


def visible_in(generation: Generation, *columns: Any) -> Select[Any]:
    """Return the statement for the chunks of every tenant that a collection should hold."""
    visible = chunks.join(documents, is_visible())
    if generation.kind == VISUAL:
        seen = select(*columns).select_from(visible.join(page_vectors, is_page()))
        return seen.where(page_vectors.c.encoder == generation.encoder)
    if generation.domain is None:
        return select(*columns).select_from(visible).where(chunks.c.text != "")
    of_domain = select(*columns).select_from(visible.join(document_versions, is_current()))
    return of_domain.where(chunks.c.text != "", document_versions.c.domain == generation.domain)


_STANDING = (documents.c.rights_version, document_versions.c.state, document_versions.c.content_hash)


def _standing(row: Row[Any]) -> Standing:
    return row.rights_version, row.state, row.content_hash


def _version(row: Row[Any]) -> int:
    return int(row.version)
