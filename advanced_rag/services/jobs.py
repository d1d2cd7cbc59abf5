"""The worker: claims jobs, keeps their leases, and sees to it that each comes to an end."""

import asyncio
import os
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from advanced_rag.config import JobSettings
from advanced_rag.exceptions import (
    EncoderError,
    FileMissingError,
    JobLostError,
    OverloadedError,
    RagError,
    StorageQuotaExceededError,
    UnavailableError,
    VectorStoreRefusedError,
    WorkerLostError,
)
from advanced_rag.file_errors import FileError
from advanced_rag.models.documents import TenantId
from advanced_rag.models.jobs import Job, JobKind, new_job
from advanced_rag.services.held import Held
from advanced_rag.services.housekeeping import EVERY_S, Housekeeping
from advanced_rag.services.pages import PERHAPS
from advanced_rag.services.pipeline import Pipeline
from advanced_rag.services.removal import Removal
from advanced_rag.services.rights import RightsService
from advanced_rag.services.sql import Sql
from advanced_rag.storage.database import TenantTransaction
from advanced_rag.storage.documents import DocumentRepository
from advanced_rag.storage.job_log import JobLog
from advanced_rag.storage.jobs import JobRepository
from advanced_rag.telemetry import metrics
from advanced_rag.telemetry.logs import get_logger

_BATCH = 64
UPKEEP: tuple[JobKind, ...] = ("purge", "label")
_LONGEST_DELAY_S = 300.0
_OUTAGE_DELAY_S = 5.0
_OUTAGES = (UnavailableError, OverloadedError)
_NO_OUTAGES = (EncoderError, VectorStoreRefusedError, FileMissingError)  # they will answer the same another time
_FINAL = (FileError, StorageQuotaExceededError)
_LOST = "the processes that worked on it were lost, again and again"
_log = get_logger(__name__)


class JobWorker:
    """Runs what is due, so many jobs at once as the settings say, and keeps the leases of this process."""

    def __init__(
        self,
        database: Sql,
        pipeline: Pipeline,
        removal: Removal,
        rights: RightsService,
        housekeeping: Housekeeping,
        held: Held,
        settings: JobSettings,
        *,
        owner: str,
    ) -> None:
        self._database = database
        self._pipeline = pipeline
        self._removal = removal
        self._rights = rights
        self._housekeeping = housekeeping
        self._held = held
        self._settings = settings
        self._owner = owner
        self._slots = asyncio.Semaphore(settings.concurrency or max(1, (os.cpu_count() or 1) // 2))
        self._running: dict[asyncio.Task[None], frozenset[str]] = {}
        self._news = asyncio.Event()
        self._last: TenantId | None = None  # whose work was handed out last
        metrics.begin(metrics.JOBS, ["ingest", "purge", "label"], ["done", "failed", "dead", "postponed", "lost"])

    def wake(self) -> None:
        """Say that there is something to do."""
        self._news.set()

    async def run(self) -> None:
        """Work until cancelled; what runs then is cut off, and left to whoever comes next."""
        beside = [
            asyncio.create_task(_again_and_again(self._beat, "leases_not_renewed", self._settings.lease_s / 4)),
            asyncio.create_task(_again_and_again(self._housekeeping.run, "housekeeping_postponed", EVERY_S)),
        ]
        try:
            await _again_and_again(self._dispatch, "jobs_postponed", self._settings.interval_s, self._news)
        finally:
            for task in beside:
                task.cancel()
            await self._stop()

    async def run_due(self, kinds: Sequence[JobKind] = ("ingest", *UPKEEP)) -> int:
        """Run every job of some kinds that is due now, one after the other; returns how many were run."""
        count = 0
        while jobs := await self._claim(kinds):
            await self._run_held(jobs)
            count += len(jobs)
        return count

    async def release_all(self) -> None:
        """Take over the jobs of a process that is known to be gone, and remove the files it had no more need of."""
        await self._database.write_across(lambda c: JobRepository(c, self._owner).release(everybody=True))
        await self._housekeeping.sweep_files(older_than_s=0)

    async def start_over(self) -> None:
        """Have ingestions that are under way indexed from their beginning: the index is a new one."""
        await self._database.write_across(lambda c: JobRepository(c, self._owner).start_over())

    async def _dispatch(self) -> None:
        """Hand out what is due, each batch to a slot that is free."""
        while True:
            self._news.clear()
            await self._slots.acquire()
            try:
                jobs = await self._claim(("ingest", *UPKEEP))
            except BaseException:
                self._slots.release()
                raise
            if not jobs:
                self._slots.release()
                return
            task = asyncio.create_task(self._run_held(jobs))
            self._running[task] = frozenset(job.id for job in jobs)
            task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        del self._running[task]
        self._slots.release()
        self.wake()
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("unexpected_error", error_type=type(error).__name__, exc_info=error)

    async def _claim(self, kinds: Sequence[JobKind]) -> list[Job]:
        lease_s = self._settings.lease_s
        jobs = await self._database.write_across(
            lambda c: JobRepository(c, self._owner).claim(_BATCH, lease_s, kinds=kinds, last=self._last)
        )
        self._last = jobs[0].tenant if jobs else self._last
        return jobs

    async def _stop(self) -> None:
        tasks = list(self._running)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with suppress(RagError):
            await self._database.write_across(lambda c: JobRepository(c, self._owner).release())

    async def _beat(self) -> None:
        """Keep the leases, and cut off work that is no longer this process's."""
        running, held = dict(self._running), self._held.ids()
        lost = set(held) - await self._renew(held)
        for task, job_ids in running.items():
            if job_ids <= lost:
                task.cancel()
        await self._count()

    async def _renew(self, job_ids: Sequence[str]) -> set[str]:
        if not job_ids:
            return set()
        lease_s = self._settings.lease_s
        return await self._database.write_across(lambda c: JobRepository(c, self._owner).renew(job_ids, lease_s))

    async def _count(self) -> None:
        counts = await self._database.read_across(lambda c: JobRepository(c, self._owner).counts())
        for state in ("queued", "running", "dead"):
            metrics.JOBS_WAITING.labels(state).set(counts.get(state, 0))

    async def _run_held(self, jobs: Sequence[Job]) -> None:
        with self._held.holding(jobs):
            await self._run(jobs)

    async def _run(self, jobs: Sequence[Job]) -> None:
        """Run jobs together; when that fails, each by itself, so that one cannot fail the others."""
        try:
            await self._work(jobs)
        except RagError as error:
            if len(jobs) == 1:
                await self._postpone(jobs[0], error)
                return
            for job in jobs:
                await self._run([job])
            return
        except Exception as error:  # noqa: BLE001 - a fault in one job is counted against it, and the others go on
            _log.error("unexpected_error", error_type=type(error).__name__, exc_info=error)
            for job in jobs:
                await self._postpone(job, RagError("an unexpected error; the log of the service has more"))
            return
        metrics.JOBS.labels(jobs[0].kind, "done").inc(len(jobs))
        _log.info("jobs_done", kind=jobs[0].kind, jobs=len(jobs), job_id=jobs[0].id)

    async def _work(self, jobs: Sequence[Job]) -> None:
        worn_out = [job for job in jobs if job.retakes > self._settings.max_retakes]
        for job in worn_out:
            await self._hand_back(job, WorkerLostError(_LOST), 0.0, give_up=True, counts=True)
        todo = [job for job in jobs if job not in worn_out]
        match jobs[0].kind:
            case "ingest" if todo:
                await self._pipeline.resume(todo)
            case "purge" if todo:
                await self._removal.purge(todo[0].tenant, todo)
            case "label":
                for job in todo:
                    await self._rights.label(job)

    async def _postpone(self, job: Job, error: RagError) -> None:
        if isinstance(error, JobLostError):
            metrics.JOBS.labels(job.kind, "lost").inc()
            return
        _log.warning("job_failed", job_id=job.id, kind=job.kind, code=error.code, attempts=job.attempts)
        if isinstance(error, _FINAL) and not (isinstance(error, PERHAPS) and job.attempts < 2):
            await self._fail(job, error)
            return
        is_outage = isinstance(error, _OUTAGES) and not isinstance(error, _NO_OUTAGES)
        give_up = not is_outage and job.attempts >= self._settings.max_attempts
        delay_s = _OUTAGE_DELAY_S if is_outage else min(2.0**job.attempts, _LONGEST_DELAY_S)
        await self._hand_back(job, error, delay_s * random.uniform(0.5, 1.5), give_up=give_up, counts=not is_outage)

    async def _hand_back(self, job: Job, error: RagError, delay_s: float, *, give_up: bool, counts: bool) -> None:
        def hand_back(transaction: TenantTransaction) -> bool:
            repository = JobRepository(transaction, self._owner)
            is_mine = repository.postpone(job, error, delay_s=delay_s, give_up=give_up, counts=counts)
            if is_mine and job.stage is not None:
                JobLog(transaction).tell([job.news("dead" if give_up else "queued", job.stage, code=error.code)])
            return is_mine

        is_mine = await self._database.write(job.tenant, hand_back)
        outcome = "dead" if give_up else "postponed"
        metrics.JOBS.labels(job.kind, outcome if is_mine else "lost").inc()

    async def _fail(self, job: Job, error: RagError) -> None:
        """End an ingestion that will not go better another time; its file is kept no longer than the job."""

        def fail(transaction: TenantTransaction) -> bool:
            repository = JobRepository(transaction, self._owner)
            is_mine = bool(repository.fail([job.id], error.code, error.message))
            if is_mine:
                give_up(transaction, repository, job)
                JobLog(transaction).tell([job.news("failed", job.stage or "received", code=error.code)])
            return is_mine

        is_mine = await self._database.write(job.tenant, fail)
        metrics.JOBS.labels(job.kind, "failed" if is_mine else "lost").inc()
        if is_mine:
            metrics.DOCUMENTS_INGESTED.labels("failed").inc()
            await self._pipeline.discard(job)


def give_up(transaction: TenantTransaction, jobs: JobRepository, job: Job, *, delay_s: float = 0.0) -> None:
    """Say of a version that it will never be visible, and queue the purge of what may have been written of it."""
    DocumentRepository(transaction).mark_failed({job.document_id: job.start})
    jobs.add([new_job(job.tenant, "purge", job.document_id, job.start, job.below)], delay_s=delay_s)


async def _again_and_again(
    work: Callable[[], Awaitable[None]], outage: str, every_s: float, news: asyncio.Event | None = None
) -> None:
    """Do some work every so often, or at once when there is news: no fault in it ends it."""
    woken = news or asyncio.Event()
    while True:
        try:
            await work()
        except RagError as error:
            _log.warning(outage, code=error.code)
        except Exception as error:  # noqa: BLE001 - the outermost loop: one fault must not end all background work
            _log.error("unexpected_error", error_type=type(error).__name__, exc_info=error)
        with suppress(TimeoutError):
            await asyncio.wait_for(woken.wait(), every_s)
