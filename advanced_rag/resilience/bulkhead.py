"""A bound on calls in flight, so that one slow dependency cannot take every thread and connection."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NoReturn

from advanced_rag.exceptions import BulkheadFullError, OverloadedError
from advanced_rag.telemetry import metrics


class Bulkhead:
    """Lets ``permits`` calls run at once; of the others ``max_waiting`` wait, at most ``wait_s`` seconds."""

    def __init__(
        self,
        name: str,
        *,
        permits: int,
        wait_s: float,
        max_waiting: int = 256,
        refusal: type[OverloadedError] = BulkheadFullError,
    ) -> None:
        self.name = name
        self._wait_s = wait_s
        self._max_waiting = max_waiting
        self._refusal = refusal
        self._waiting = 0
        self._permits = asyncio.Semaphore(permits)
        metrics.begin(metrics.BULKHEAD_REJECTED, [name])
        self._in_use = metrics.BULKHEAD_IN_USE.labels(name)

    @asynccontextmanager
    async def permit(self, limit_s: float) -> AsyncIterator[None]:
        """Hold a permit; raises ``refusal`` when too many wait already or none comes free in time."""
        await self._acquire(min(self._wait_s, limit_s))
        self._in_use.inc()
        try:
            yield
        finally:
            self._in_use.dec()
            self._permits.release()

    async def _acquire(self, limit_s: float) -> None:
        if self._permits.locked() and self._waiting >= self._max_waiting:
            self._refuse()
        self._waiting += 1
        try:
            async with asyncio.timeout(limit_s):
                await self._permits.acquire()
        except TimeoutError:
            self._refuse()
        finally:
            self._waiting -= 1

    def _refuse(self) -> NoReturn:
        metrics.BULKHEAD_REJECTED.labels(self.name).inc()
        raise self._refusal(f"{self.name} has too much to do") from None
