"""A bound on calls in flight, so that one slow dependency cannot take every thread and connection."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from advanced_rag.exceptions import BulkheadFullError
from advanced_rag.telemetry import metrics


class Bulkhead:
    """Lets ``permits`` calls run at once; others wait at most ``wait_s`` seconds."""

    def __init__(self, name: str, *, permits: int, wait_s: float) -> None:
        self._name = name
        self._wait_s = wait_s
        self._permits = asyncio.Semaphore(permits)
        self._in_use = metrics.BULKHEAD_IN_USE.labels(name)

    @asynccontextmanager
    async def permit(self, limit_s: float) -> AsyncIterator[None]:
        """Hold a permit; raises BulkheadFullError when none comes free in time."""
        await self._acquire(min(self._wait_s, limit_s))
        self._in_use.inc()
        try:
            yield
        finally:
            self._in_use.dec()
            self._permits.release()

    async def _acquire(self, limit_s: float) -> None:
        try:
            async with asyncio.timeout(limit_s):
                await self._permits.acquire()
        except TimeoutError:
            metrics.BULKHEAD_REJECTED.labels(self._name).inc()
            raise BulkheadFullError(f"{self._name} has too much to do") from None
