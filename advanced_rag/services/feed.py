"""The feed of jobs: what is told of them reaches whoever listens, in order and without a gap.

The table of events is the truth, and its numbers are the cursors. A listener reads what it missed from there; what comes
after is read once for all listeners of a tenant. A word from the writer, in this process or over Redis, only says when to
look; where it is lost, a look every second finds out.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial

from advanced_rag.exceptions import RagError, SlowConsumerError
from advanced_rag.models.documents import TenantId
from advanced_rag.models.jobs import JobEvent
from advanced_rag.services.sql import Sql
from advanced_rag.storage.database import TenantTransaction
from advanced_rag.storage.job_log import JobLog
from advanced_rag.storage.shared import Bell
from advanced_rag.telemetry import metrics
from advanced_rag.telemetry.logs import get_logger

_PAGE = 500
_LOOK_EVERY_S = 1.0
_MOST_WAITING = 1000
_log = get_logger(__name__)


@dataclass(eq=False, slots=True)
class _Listener:
    """Somebody who takes the events he may see, as fast as he can."""

    wants: Callable[[JobEvent], bool]
    queue: "asyncio.Queue[JobEvent]" = field(default_factory=lambda: asyncio.Queue(_MOST_WAITING))
    is_too_slow: bool = False

    def offer(self, event: JobEvent) -> None:
        if not self.wants(event) or self.is_too_slow:
            return
        try:
            self.queue.put_nowait(event)
        except asyncio.QueueFull:
            self.is_too_slow = True


@dataclass(eq=False, slots=True)
class _Channel:
    """The listeners of one tenant, and what reads for them."""

    at: int
    listeners: set[_Listener] = field(default_factory=set)
    bell: asyncio.Event = field(default_factory=asyncio.Event)
    reader: "asyncio.Task[None] | None" = None


class JobFeed:
    """Lets callers follow the jobs of their tenant."""

    def __init__(self, database: Sql, bell: Bell | None) -> None:
        self._database = database
        self._bell = bell
        self._channels: dict[TenantId, _Channel] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._rings: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Hear what other replicas say, until cancelled."""
        self._loop = asyncio.get_running_loop()
        if self._bell is None:
            await asyncio.Event().wait()
            return
        while True:
            try:
                async with aclosing(self._bell.heard()) as tenants:
                    async for tenant in tenants:
                        self._ring(tenant)
            except RagError as error:
                _log.warning("feed_not_shared", code=error.code)
            await asyncio.sleep(_LOOK_EVERY_S)

    def changed(self, tenant: TenantId) -> None:
        """Say that something was told of a tenant's jobs; to be called from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._tell, tenant)

    async def follow(
        self, tenant: TenantId, after: int | None, *, job_id: str | None = None, user_id: str | None = None
    ) -> AsyncGenerator[JobEvent]:
        """Yield events from a cursor on (from now on, where it is None), for as long as somebody takes them.

        Raises SlowConsumerError when they are not taken, and what reading SQL raises.
        """

        def wants(event: JobEvent) -> bool:
            news = event.news
            return job_id in {None, news.job_id} and user_id in {None, news.user_id}

        async with self._listening(tenant, wants) as (listener, newest):
            at = newest if after is None else after
            while after is not None:
                missed = await self._database.read(tenant, partial(_missed, at, job_id, user_id))
                for event in missed:
                    yield event
                if not missed:
                    break
                at = missed[-1].number
            async for event in _taken(listener):
                if event.number > at:
                    at = event.number
                    yield event

    @asynccontextmanager
    async def _listening(self, tenant: TenantId, wants: Callable[[JobEvent], bool]) -> AsyncIterator[tuple[_Listener, int]]:
        if tenant not in self._channels:
            newest = await self._database.read(tenant, lambda t: JobLog(t).last())
            self._channels.setdefault(tenant, _Channel(newest))
        channel = self._channels[tenant]
        newest = channel.at
        listener = _Listener(wants)
        channel.listeners.add(listener)
        if channel.reader is None:
            channel.reader = asyncio.create_task(self._read(tenant, channel))
        metrics.JOB_LISTENERS.inc()
        try:
            yield listener, newest
        finally:
            metrics.JOB_LISTENERS.dec()
            channel.listeners.discard(listener)
            if not channel.listeners:
                self._channels.pop(tenant, None)
                channel.reader.cancel()

    async def _read(self, tenant: TenantId, channel: _Channel) -> None:
        while True:
            channel.bell.clear()
            try:
                events = await self._database.read(tenant, lambda t: JobLog(t).events(channel.at, _PAGE))
            except RagError as error:
                _log.warning("feed_postponed", code=error.code)
                events = []
            except Exception as error:  # noqa: BLE001 - the outermost loop: listeners would never hear of anything again
                _log.error("unexpected_error", error_type=type(error).__name__, exc_info=error)
                events = []
            for event in events:
                for listener in channel.listeners:
                    listener.offer(event)
                channel.at = event.number
            if not events:
                with suppress(TimeoutError):
                    await asyncio.wait_for(channel.bell.wait(), _LOOK_EVERY_S)

    def _tell(self, tenant: TenantId) -> None:
        self._ring(tenant)
        if self._bell is not None:
            ring = asyncio.create_task(self._bell.ring(tenant))
            self._rings.add(ring)
            ring.add_done_callback(self._rings.discard)

    def _ring(self, tenant: TenantId) -> None:
        if tenant in self._channels:
            self._channels[tenant].bell.set()


def _missed(after: int, job_id: str | None, user_id: str | None, transaction: TenantTransaction) -> list[JobEvent]:
    return JobLog(transaction).events(after, _PAGE, job_id=job_id, user_id=user_id)


async def _taken(listener: _Listener) -> AsyncIterator[JobEvent]:
    while True:
        if listener.is_too_slow and listener.queue.empty():
            raise SlowConsumerError("events came faster than they were taken: come back with the last cursor")
        yield await listener.queue.get()
