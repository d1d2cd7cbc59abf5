"""Background work goes on, whatever befalls it."""

import asyncio

from advanced_rag.config import JobSettings
from advanced_rag.exceptions import DatabaseUnavailableError
from advanced_rag.models.documents import DEFAULT_TENANT
from advanced_rag.models.jobs import new_job
from advanced_rag.services.held import Held
from advanced_rag.services.jobs import JobWorker


class Nobody:
    """Does nothing."""

    async def run(self) -> None:
        return


NOBODY = dict.fromkeys(("pipeline", "removal", "rights", "housekeeping"), Nobody())


class Database:
    """Fails in the ways it is given, one a call, then says that it was reached."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.reached = asyncio.Event()

    async def write_across(self, _work):
        if self.errors:
            raise self.errors.pop(0)
        self.reached.set()
        return []

    async def read_across(self, _work):
        return {}


class OneJob(JobWorker):
    """Has one job to hand out, which never ends, and a lease that is renewed or not."""

    def __init__(self) -> None:
        super().__init__(Database(), **NOBODY, held=Held(), settings=JobSettings(concurrency=2), owner="me")
        self.jobs = [[new_job(DEFAULT_TENANT, "ingest", "doc", 1, 2)]]
        self.has_begun, self.has_lease = asyncio.Event(), True

    async def _claim(self, _kinds):
        return self.jobs.pop() if self.jobs else []

    async def _renew(self, job_ids):
        return set(job_ids) if self.has_lease else set()

    async def _work(self, _jobs):
        self.has_begun.set()
        await asyncio.Event().wait()


def test_neither_an_outage_nor_a_fault_ends_the_worker():
    async def run() -> None:
        database = Database(DatabaseUnavailableError("down"), KeyError("a fault"))
        settings = JobSettings(interval_s=0.01)
        worker = JobWorker(database, **NOBODY, held=Held(), settings=settings, owner="me")
        task = asyncio.create_task(worker.run())
        await asyncio.wait_for(database.reached.wait(), 10)
        task.cancel()

    asyncio.run(run())


def test_the_heartbeat_cuts_off_what_was_lost_and_nothing_that_was_just_claimed():
    async def run() -> None:
        worker = OneJob()
        await worker._dispatch()
        (task,) = worker._running
        await worker._beat()  # before the task has had its first turn
        await asyncio.wait_for(worker.has_begun.wait(), 10)
        worker.has_lease = False
        await worker._beat()
        await asyncio.wait({task}, timeout=10)
        assert task.cancelled()

    asyncio.run(run())
