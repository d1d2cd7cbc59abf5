"""The worker: finishes what a crash or an outage left undone."""

import asyncio

from advanced_rag.config import JobSettings
from advanced_rag.exceptions import RagError
from advanced_rag.services.ingest import IngestService
from advanced_rag.services.rights import RightsService
from advanced_rag.services.sql import Sql
from advanced_rag.storage.jobs import Job, JobRepository
from advanced_rag.telemetry import metrics
from advanced_rag.telemetry.logs import get_logger

_BATCH = 20
_LONGEST_DELAY_S = 300.0
_log = get_logger(__name__)


class JobWorker:
    """Claims due jobs and runs them, one after the other; keeps the leases of this process."""

    def __init__(
        self, database: Sql, ingest: IngestService, rights: RightsService, settings: JobSettings, *, owner: str
    ) -> None:
        self._database = database
        self._ingest = ingest
        self._rights = rights
        self._settings = settings
        self._owner = owner
        self._turn = asyncio.Lock()
        metrics.begin(metrics.JOBS, ["index", "purge", "label"], ["done", "failed", "dead"])

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            try:
                await self._database.write_across(lambda c: JobRepository(c, self._owner).renew(self._settings.lease_s))
                await self.run_due()
                await self._count()
            except RagError as error:
                _log.warning("jobs_postponed", code=error.code)
            except Exception as error:  # noqa: BLE001 - the outermost loop: one fault must not end all background work
                _log.error("unexpected_error", error_type=type(error).__name__, exc_info=error)
            await asyncio.sleep(self._settings.interval_s)

    async def run_due(self) -> int:
        """Run every job that is due now, after those that run already; returns how many were run."""
        count = 0
        async with self._turn:
            while jobs := await self._database.write_across(
                lambda c: JobRepository(c, self._owner).claim(_BATCH, self._settings.lease_s)
            ):
                for job in jobs:
                    await self._run(job)
                count += len(jobs)
        return count

    async def _count(self) -> None:
        counts = await self._database.read_across(lambda c: JobRepository(c, self._owner).counts())
        for state in ("queued", "running", "dead"):
            metrics.JOBS_WAITING.labels(state).set(counts.get(state, 0))

    async def release_all(self) -> None:
        """Take over the jobs of a process that is known to be gone."""
        await self._database.write_across(lambda c: JobRepository(c, self._owner).release_all())

    async def _run(self, job: Job) -> None:
        try:
            await self._work(job)
        except RagError as error:
            await self._postpone(job, error)
            return
        metrics.JOBS.labels(job.kind, "done").inc()
        _log.info("job_done", job_id=job.id, kind=job.kind, attempts=job.attempts)

    async def _work(self, job: Job) -> None:
        match job.kind:
            case "index":
                await self._ingest.resume(job)
            case "purge":
                await self._ingest.purge(job.tenant, [job])
            case "label":
                await self._rights.label(job)

    async def _postpone(self, job: Job, error: RagError) -> None:
        give_up = job.attempts >= self._settings.max_attempts
        delay_s = min(2.0**job.attempts, _LONGEST_DELAY_S)
        metrics.JOBS.labels(job.kind, "dead" if give_up else "failed").inc()
        _log.warning("job_failed", job_id=job.id, kind=job.kind, code=error.code, gives_up=give_up)
        await self._database.write_across(
            lambda c: JobRepository(c, self._owner).postpone(job, delay_s=delay_s, error_code=error.code, give_up=give_up)
        )
