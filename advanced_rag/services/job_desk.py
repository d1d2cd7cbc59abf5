"""Jobs as their owners see and steer them."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing

from advanced_rag.exceptions import ConflictError, NotFoundError
from advanced_rag.models.documents import Page, TenantId
from advanced_rag.models.identity import Principal
from advanced_rag.models.jobs import ENDED, Job, JobEvent, JobInfo, JobState
from advanced_rag.services.feed import JobFeed
from advanced_rag.services.jobs import JobWorker, give_up
from advanced_rag.services.sql import Sql
from advanced_rag.storage.database import TenantTransaction
from advanced_rag.storage.files import FileStore
from advanced_rag.storage.job_log import JobLog
from advanced_rag.storage.jobs import JobRepository

_DEAD_AT_ONCE = 500
_STAGES = 200


class JobDesk:
    """Tells of jobs: everybody of his own, who sees every document of all of them."""

    def __init__(self, database: Sql, feed: JobFeed, files: FileStore, worker: JobWorker, *, lease_s: float) -> None:
        self._database = database
        self._feed = feed
        self._files = files
        self._worker = worker
        self._lease_s = lease_s

    async def get(self, principal: Principal, job_id: str) -> JobInfo:
        """Return an ingestion; raises NotFoundError."""
        found = await self._database.read(principal.tenant, lambda t: JobLog(t).get(job_id, seen_by(principal)))
        if found is None:
            raise NotFoundError("no such job")
        return found

    async def stages(self, principal: Principal, job_id: str, after: int = 0) -> list[JobEvent]:
        """Return what was told of an ingestion after a cursor, oldest first."""
        seen = seen_by(principal)
        return await self._database.read(
            principal.tenant, lambda t: JobLog(t).events(after, _STAGES, job_id=job_id, user_id=seen)
        )

    async def page(self, principal: Principal, limit: int, cursor: str | None, state: JobState | None) -> Page[JobInfo]:
        """List ingestions, newest first."""
        return await self._database.read(
            principal.tenant, lambda t: JobLog(t).page(limit, cursor, seen_by(principal), state)
        )

    async def wait(self, tenant: TenantId, job_ids: Sequence[str], within_s: float) -> dict[str, JobInfo] | None:
        """Return ingestions once all of them have ended; None when that takes longer, or some are not kept any more."""
        after = await self._database.read(tenant, lambda t: JobLog(t).last())
        found = await self._find(tenant, job_ids)
        waiting = {job_id for job_id, job in (found or {}).items() if job.state not in ENDED}
        if not waiting:
            return found
        try:
            async with asyncio.timeout(within_s), aclosing(self._feed.follow(tenant, after)) as events:
                async for event in events:
                    if event.news.state in ENDED:
                        waiting.discard(event.news.job_id)
                    if not waiting:
                        break
        except TimeoutError:
            return None
        return await self._find(tenant, job_ids)

    async def _find(self, tenant: TenantId, job_ids: Sequence[str]) -> dict[str, JobInfo] | None:
        found = await self._database.read(tenant, lambda t: JobLog(t).find(job_ids))
        return found if len(found) == len(set(job_ids)) else None

    async def cancel(self, principal: Principal, job_id: str) -> JobInfo:
        """Stop an ingestion, at whatever stage it is: its version will never be visible.

        Raises NotFoundError, ConflictError for one that has ended.
        """
        before = await self.get(principal, job_id)
        job = await self._database.write(principal.tenant, lambda t: self._cancel(t, job_id))
        if job is None:
            raise ConflictError(f"the job has ended: {before.state}" if before.state in ENDED else "the job has ended")
        await asyncio.to_thread(self._files.remove, principal.tenant, job_id)
        return await self.get(principal, job_id)

    async def retry(self, principal: Principal, job_id: str) -> JobInfo:
        """Queue a dead ingestion again; raises NotFoundError, ConflictError for one that is not dead."""
        await self.get(principal, job_id)
        job = await self._database.write(principal.tenant, lambda t: _retry(t, job_id))
        if job is None:
            raise ConflictError("only dead jobs are tried again")
        self._worker.wake()
        return await self.get(principal, job_id)

    async def purge_dead(self, tenant: TenantId) -> int:
        """Remove the dead ingestions of a tenant, with their files; returns how many."""
        count = 0
        while gone := await self._database.write(tenant, self._purge_dead):
            for job in gone:
                await asyncio.to_thread(self._files.remove, tenant, job.id)
            count += len(gone)
        return count

    def _cancel(self, transaction: TenantTransaction, job_id: str) -> Job | None:
        job = JobLog(transaction).cancel(job_id)
        if job is not None:
            # A worker may go on writing until it learns of it: what it leaves is purged when it cannot be at it any more.
            give_up(transaction, JobRepository(transaction, ""), job, delay_s=self._lease_s)
            JobLog(transaction).tell([job.news("cancelled", job.stage or "received")])
        return job

    def _purge_dead(self, transaction: TenantTransaction) -> list[Job]:
        gone = JobLog(transaction).take_dead(_DEAD_AT_ONCE)
        for job in gone:
            give_up(transaction, JobRepository(transaction, ""), job)
        return gone


def seen_by(principal: Principal) -> str | None:
    """Return whose jobs somebody sees: his own, or everybody's."""
    return None if principal.may("documents:all") else principal.user_id


def _retry(transaction: TenantTransaction, job_id: str) -> Job | None:
    job = JobLog(transaction).retry(job_id)
    if job is not None:
        JobLog(transaction).tell([job.news("queued", job.stage or "received")])
    return job
