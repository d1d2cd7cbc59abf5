"""The way out: documents are deleted in SQL, then what is left of them in the index is purged."""

from collections.abc import Sequence

from advanced_rag.exceptions import OnHoldError, RagError
from advanced_rag.models.documents import TenantId
from advanced_rag.models.identity import Principal
from advanced_rag.models.jobs import Job, new_job
from advanced_rag.services.index import Index
from advanced_rag.services.sql import Sql
from advanced_rag.storage.database import TenantTransaction
from advanced_rag.storage.documents import DocumentRepository
from advanced_rag.storage.holds import HoldRepository
from advanced_rag.storage.jobs import JobRepository
from advanced_rag.storage.rights import RightsRepository
from advanced_rag.telemetry.logs import get_logger

_log = get_logger(__name__)


class Removal:
    """Deletes documents, and purges versions nobody sees any more."""

    def __init__(self, database: Sql, index: Index, *, owner: str, lease_s: float) -> None:
        self._database = database
        self._index = index
        self._owner = owner
        self._lease_s = lease_s

    async def delete(self, principal: Principal, document_id: str) -> bool:
        """Delete a document; False when there is none to be seen. It cannot be found from the moment this returns.

        Raises OnHoldError.
        """
        tenant = principal.tenant

        def remove(transaction: TenantTransaction) -> Job | None:
            owner = RightsRepository(transaction).of([document_id])
            floor = DocumentRepository(transaction).remove(document_id, principal.reader)
            if floor is None:
                return None
            if HoldRepository(transaction).is_held(document_id=document_id, user_id=owner[document_id].rights.owner):
                raise OnHoldError("a legal hold keeps this document")
            job = new_job(tenant, "purge", document_id, 0, floor)
            JobRepository(transaction, self._owner).add([job], lease_s=self._lease_s)
            return job

        job = await self._database.write(tenant, remove)
        if job is not None:
            await self.purge_soon(tenant, [job])
        return job is not None

    async def purge_soon(self, tenant: TenantId, jobs: Sequence[Job]) -> None:
        """Purge at once; what cannot be done now stays queued."""
        if not jobs:
            return
        try:
            await self.purge(tenant, jobs)
        except RagError as error:
            _log.warning("purge_postponed", code=error.code, jobs=len(jobs))

    async def purge(self, tenant: TenantId, jobs: Sequence[Job]) -> None:
        """Delete what purge jobs of a tenant name from the index and from SQL, then the jobs."""
        await self._index.purge(tenant, jobs)

        def forget(transaction: TenantTransaction) -> None:
            owned = JobRepository(transaction, self._owner).finish([job.id for job in jobs])
            for job in jobs:
                if job.id in owned:
                    DocumentRepository(transaction).forget_chunks(job.document_id, job.start, job.below)

        await self._database.write(tenant, forget)
