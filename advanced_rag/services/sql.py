"""SQL as the services use it: guarded, in bounded threads, one transaction for each function."""

import math
from collections.abc import Callable
from typing import TypeVar

from anyio import CapacityLimiter, to_thread

from advanced_rag.config import DatabaseSettings
from advanced_rag.exceptions import PoolExhaustedError
from advanced_rag.resilience.bulkhead import Bulkhead
from advanced_rag.resilience.deadline import Deadline
from advanced_rag.resilience.guard import Guard
from advanced_rag.storage.database import Database, Work
from advanced_rag.telemetry import metrics

T = TypeVar("T")

_WRITER_WAIT_S = 60.0  # SQLite has one writer at a time, and large ingestions take turns


class Sql:
    """Runs functions of a connection; never more at once than the pool has connections.

    A call that is given up leaves its thread and connection behind until the database answers or the connection breaks: the
    outcome of such a write is unknown.
    """

    def __init__(self, database: Database, guard: Guard, settings: DatabaseSettings) -> None:
        self._database = database
        self._guard = guard
        self._longest_s = settings.pool_wait_s + settings.timeout_s
        self._threads = CapacityLimiter(settings.connections)
        writers = 1 if database.has_one_writer else settings.connections
        self._writers = Bulkhead("database_writers", permits=writers, wait_s=_WRITER_WAIT_S, refusal=PoolExhaustedError)
        metrics.DB_POOL_SIZE.set(settings.connections)

    async def read(self, work: Work[T], deadline: Deadline | None = None) -> T:
        """Run reading statements, each seeing what is committed; once more when the connection broke.

        Raises PoolExhaustedError, DatabaseUnavailableError, DependencyTimeoutError, CircuitOpenError.
        """
        return await self._run(self._database.read, work, deadline, repeatable=True)

    async def write(self, work: Work[T], deadline: Deadline | None = None) -> T:
        """Run one transaction: all of it is kept, or nothing when it raises.

        Raises what ``read`` raises, and ConflictError for a broken constraint.
        """
        async with self._writers.permit(deadline.remaining() if deadline else math.inf):
            return await self._run(self._database.write, work, deadline, repeatable=False)

    async def _run(self, run: Callable[[Work[T]], T], work: Work[T], deadline: Deadline | None, *, repeatable: bool) -> T:
        async def call() -> T:
            with metrics.DB_POOL_IN_USE.track_inprogress():
                return await to_thread.run_sync(run, work, limiter=self._threads, abandon_on_cancel=True)

        try:
            return await self._guard.call(call, deadline or Deadline.after(self._longest_s), repeatable=repeatable)
        except PoolExhaustedError:
            metrics.DB_POOL_EXHAUSTED.inc()
            raise
