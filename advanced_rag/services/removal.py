"""The way out: documents are deleted in SQL, then what is left of them in the index is purged."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from advanced_rag.exceptions import OnHoldError, RagError
from advanced_rag.models.deletion import DeletionReceipt
from advanced_rag.models.documents import TenantId
from advanced_rag.models.identity import Principal, Reader
from advanced_rag.models.jobs import SUPERSEDED, SUPERSEDED_MESSAGE, Job, new_job
from advanced_rag.services.index import Index
from advanced_rag.services.sql import Sql
from advanced_rag.storage.database import TenantTransaction
from advanced_rag.storage.documents import DocumentRepository
from advanced_rag.storage.files import FileStore
from advanced_rag.storage.forgetting import ForgettingRepository
from advanced_rag.storage.holds import HoldRepository
from advanced_rag.storage.job_log import JobLog
from advanced_rag.storage.jobs import JobRepository
from advanced_rag.storage.rights import RightsRepository
from advanced_rag.storage.tables import now
from advanced_rag.telemetry.logs import get_logger

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Buried:
    """A document that is out of SQL: the purge of its vectors, and the ingestions that ended with it."""

    purge: Job
    ended: Sequence[Job]


class Removal:
    """Deletes documents, and purges versions nobody sees any more."""

    def __init__(self, database: Sql, index: Index, files: FileStore, *, owner: str, lease_s: float) -> None:
        self._database = database
        self._index = index
        self._files = files
        self._owner = owner
        self._lease_s = lease_s

    async def delete(self, principal: Principal, document_id: str) -> DeletionReceipt | None:
        """Delete a document; None when there is none to be seen. It cannot be found from the moment this returns.

        Raises OnHoldError.
        """
        tenant = principal.tenant

        def remove(transaction: TenantTransaction) -> tuple[Buried, dict[str, int]] | None:
            found = ForgettingRepository(transaction).count_document(document_id)
            held = held_of(transaction, [document_id])
            buried = self.bury(transaction, [document_id], principal.reader, principal.user_id)
            if buried and held:
                raise OnHoldError("a legal hold keeps this document")
            return (buried[0], found) if buried else None

        removed = await self._database.write(tenant, remove)
        if removed is None:
            return None
        buried, found = removed
        files = await asyncio.to_thread(self._count_files, buried.ended)
        await self.clear(tenant, [buried])
        return DeletionReceipt(now(), {**found, "files": files}, await self._left(tenant, buried, found))

    def bury(
        self, transaction: TenantTransaction, document_ids: Sequence[str], reader: Reader, by: str | None
    ) -> list[Buried]:
        """Delete those of some documents that can be seen from SQL, and queue the purge of their vectors.

        To be called last in a transaction, by somebody who has asked for legal holds.
        """
        repository, log = DocumentRepository(transaction), JobLog(transaction)
        floors = {key: repository.remove(key, reader, by) for key in sorted(document_ids)}
        buried = [
            Buried(new_job(transaction.tenant, "purge", key, 0, floor), log.end_all(key, SUPERSEDED, SUPERSEDED_MESSAGE))
            for key, floor in floors.items()
            if floor is not None
        ]
        jobs = JobRepository(transaction, self._owner)
        jobs.add([item.purge for item in buried], lease_s=self._lease_s)
        ended = [job for item in buried for job in item.ended]
        # A worker may go on writing until it learns of it.
        late = [new_job(job.tenant, "purge", job.document_id, job.start, job.below) for job in ended]
        jobs.add(late, delay_s=self._lease_s)
        log.tell([job.news("failed", job.stage or "received", code=SUPERSEDED) for job in ended])
        return buried

    async def clear(self, tenant: TenantId, buried: Sequence[Buried]) -> bool:
        """Remove the files of deleted documents, and purge their vectors; False where these stay queued."""
        for job in (job for item in buried for job in item.ended):
            await asyncio.to_thread(self._files.remove, tenant, job.id)
        return await self.purge_soon(tenant, [item.purge for item in buried])

    async def _left(self, tenant: TenantId, buried: Buried, names: Iterable[str]) -> dict[str, int | None]:
        """Ask the stores what they still have of a document; who does not answer is told of by None."""
        document_id = buried.purge.document_id
        left: dict[str, int | None] = dict.fromkeys((*names, "vectors"))
        try:
            left |= await self._database.read(tenant, lambda t: ForgettingRepository(t).count_document(document_id))
            left["vectors"] = await self._index.count(tenant, document_id)
        except RagError as error:
            _log.warning("deletion_not_proven", code=error.code)
        return {**left, "files": await asyncio.to_thread(self._count_files, buried.ended)}

    def _count_files(self, jobs: Sequence[Job]) -> int:
        return sum(self._files.path(job.tenant, job.id).exists() for job in jobs)

    async def purge_soon(self, tenant: TenantId, jobs: Sequence[Job]) -> bool:
        """Purge at once; what cannot be done now stays queued, and is told of by False."""
        if not jobs:
            return True
        try:
            await self.purge(tenant, jobs)
        except RagError as error:
            _log.warning("purge_postponed", code=error.code, jobs=len(jobs))
            return False
        return True

    async def purge(self, tenant: TenantId, jobs: Sequence[Job]) -> None:
        """Delete what purge jobs of a tenant name from the index and from SQL, then the jobs."""
        await self._index.purge(tenant, jobs)

        def forget(transaction: TenantTransaction) -> None:
            owned = JobRepository(transaction, self._owner).finish([job.id for job in jobs])
            for job in jobs:
                if job.id in owned:
                    DocumentRepository(transaction).forget_chunks(job.document_id, job.start, job.below)

        await self._database.write(tenant, forget)


def held_of(transaction: TenantTransaction, document_ids: Sequence[str]) -> set[str]:
    """Return which of some documents a legal hold keeps."""
    rights = RightsRepository(transaction).of(document_ids)
    return HoldRepository(transaction).kept({key: item.rights.owner for key, item in rights.items()})
