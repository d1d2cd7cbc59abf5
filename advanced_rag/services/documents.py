"""Looking at documents."""

from datetime import datetime

from advanced_rag.exceptions import NotFoundError
from advanced_rag.models.deletion import Tombstone
from advanced_rag.models.documents import DocumentInfo, Page, TenantId
from advanced_rag.models.identity import Principal
from advanced_rag.services.index import Index
from advanced_rag.services.sql import Sql
from advanced_rag.storage.documents import DocumentRepository
from advanced_rag.storage.retention import Tombstones


class DocumentService:
    """Reads what has been ingested."""

    def __init__(self, database: Sql, index: Index) -> None:
        self._database = database
        self._index = index

    @property
    def domains(self) -> frozenset[str]:
        """The domains a document may name."""
        return frozenset(self._index.layout.domains())

    async def get(self, principal: Principal, document_id: str) -> DocumentInfo:
        """Return a document with its text; raises NotFoundError."""
        found = await self._database.read(
            principal.tenant, lambda c: DocumentRepository(c).get(document_id, principal.reader)
        )
        if found is None:
            raise NotFoundError("no such document")
        return found

    async def page(self, principal: Principal, limit: int, cursor: str | None) -> Page[DocumentInfo]:
        """List documents, oldest first."""
        return await self._database.read(
            principal.tenant, lambda c: DocumentRepository(c).page(limit, cursor, principal.reader)
        )

    async def deleted(self, tenant: TenantId, limit: int, cursor: str | None) -> Page[Tombstone]:
        """List deleted documents that have not come back, the last deleted first."""
        return await self._database.read(tenant, lambda c: Tombstones(c).page(limit, cursor))

    async def expire_at(self, principal: Principal, document_id: str, moment: datetime | None) -> None:
        """Say when a document is to be deleted by itself; raises NotFoundError."""
        if not await self._database.write(
            principal.tenant, lambda c: DocumentRepository(c).expire_at(document_id, moment, principal.reader)
        ):
            raise NotFoundError("no such document")

    async def counts(self, principal: Principal) -> tuple[int, int]:
        """Return the number of documents and of chunks."""
        return await self._database.read(principal.tenant, lambda c: DocumentRepository(c).counts(principal.reader))
