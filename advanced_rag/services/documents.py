"""Looking at documents."""

from advanced_rag.exceptions import NotFoundError
from advanced_rag.models.documents import DocumentInfo, Page
from advanced_rag.models.identity import Principal
from advanced_rag.services.index import Index
from advanced_rag.services.sql import Sql
from advanced_rag.storage.documents import DocumentRepository


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

    async def counts(self, principal: Principal) -> tuple[int, int]:
        """Return the number of documents and of chunks."""
        return await self._database.read(principal.tenant, lambda c: DocumentRepository(c).counts(principal.reader))
