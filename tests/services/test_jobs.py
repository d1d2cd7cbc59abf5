"""Background work goes on, whatever befalls it."""

import asyncio

from advanced_rag.config import JobSettings
from advanced_rag.exceptions import DatabaseUnavailableError
from advanced_rag.services.held import Held
from advanced_rag.services.jobs import JobWorker


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


def test_neither_an_outage_nor_a_fault_ends_the_worker():
    async def run() -> None:
        database = Database(DatabaseUnavailableError("down"), KeyError("a fault"))
        settings = JobSettings(interval_s=0.01)
        worker = JobWorker(
            database, pipeline=None, removal=None, rights=None, housekeeping=None, held=Held(), settings=settings, owner="me"
        )
        task = asyncio.create_task(worker.run())
        await asyncio.wait_for(database.reached.wait(), 10)
        task.cancel()

    asyncio.run(run())
