"""SQL as the services use it: guarded, in bounded threads, one transaction for each function."""

import math
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from anyio import CapacityLimiter, to_thread

from advanced_rag.config import DatabaseSettings
from advanced_rag.exceptions import PoolExhaustedError
from advanced_rag.models.documents import TenantId
from advanced_rag.resilience.bulkhead import Bulkhead
from advanced_rag.resilience.deadline import Deadline
from advanced_rag.resilience.guard import Guard
from advanced_rag.storage.database import Database, TenantWork, Work
from advanced_rag.telemetry import metrics

T = TypeVar("T")

_WRITER_WAIT_S = 60.0  # SQLite has one writer at a time, and large ingestions take turns


class Sql:
    """Runs functions of a transaction; never more at once than the pool has connections.

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

    def listen(self, topic: str, listener: Callable[[TenantId], None]) -> None:
        """Call a function, in some thread, after each commit of something that belongs to a topic."""
        self._database.listen(topic, listener)

    async def read(self, tenant: TenantId, work: TenantWork[T], deadline: Deadline | None = None) -> T:
        """Run reading statements for a tenant, each seeing what is committed; once more when the connection broke.

        Raises PoolExhaustedError, DatabaseUnavailableError, DependencyTimeoutError, CircuitOpenError.
        """
        return await self._run(partial(self._database.read, tenant, work), deadline, repeatable=True)

    async def write(self, tenant: TenantId, work: TenantWork[T], deadline: Deadline | None = None) -> T:
        """Run one transaction for a tenant: all of it is kept, or nothing when it raises.

        Raises what ``read`` raises, and ConflictError for a broken constraint.
        """
        return await self._write(partial(self._database.write, tenant, work), deadline)

    async def read_across(self, work: Work[T], deadline: Deadline | None = None) -> T:
        """Run reading statements that reach across tenants."""
        return await self._run(partial(self._database.read_across, work), deadline, repeatable=True)

    async def write_across(self, work: Work[T], deadline: Deadline | None = None) -> T:
        """Run one transaction that reaches across tenants."""
        return await self._write(partial(self._database.write_across, work), deadline)

    async def _write(self, run: Callable[[], T], deadline: Deadline | None) -> T:
        async with self._writers.permit(deadline.remaining() if deadline else math.inf):
            return await self._run(run, deadline, repeatable=False)

    async def _run(self, run: Callable[[], T], deadline: Deadline | None, *, repeatable: bool) -> T:
        async def call() -> T:
            with metrics.DB_POOL_IN_USE.track_inprogress():
                return await to_thread.run_sync(run, limiter=self._threads, abandon_on_cancel=True)

        try:
            return await self._guard.call(call, deadline or Deadline.after(self._longest_s), repeatable=repeatable)
        except PoolExhaustedError:
            metrics.DB_POOL_EXHAUSTED.inc()
            raise
