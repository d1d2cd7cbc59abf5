"""Micro-batching: what arrives while a call runs goes into the next call together; nobody waits for a timer."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from advanced_rag.exceptions import OverloadedError

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
R = TypeVar("R")

_Waiting = tuple[T, asyncio.Future[R]]


class MicroBatcher(Generic[K, T, R]):
    """Groups items of one key into calls of at most ``max_batch``; ``concurrency`` calls run at once."""

    def __init__(
        self,
        run: Callable[[K, list[T]], Awaitable[list[R]]],
        *,
        max_batch: int,
        max_waiting: int,
        concurrency: int = 1,
    ) -> None:
        self._run = run
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._concurrency = concurrency
        self._waiting: dict[K, list[_Waiting[T, R]]] = defaultdict(list)
        self._count = 0
        self._draining = 0
        self._drains: set[asyncio.Task[None]] = set()

    async def submit(self, key: K, item: T) -> R:
        """Return the result for one item; raises OverloadedError when too many wait, else what the call raised."""
        if self._count >= self._max_waiting:
            raise OverloadedError("too many requests wait for the same resource")
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting[key].append((item, future))
        self._count += 1
        if self._draining < self._concurrency:
            self._draining += 1
            task = asyncio.create_task(self._drain())
            self._drains.add(task)
            task.add_done_callback(self._drains.discard)
        return await future

    async def _drain(self) -> None:
        # Counted down here, not when the task is reaped: a submit in between must start a new drain.
        try:
            while self._waiting:
                key, batch = self._take()
                batch = [(item, future) for item, future in batch if not future.cancelled()]
                if batch:
                    await self._call(key, batch)
        finally:
            self._draining -= 1

    def _take(self) -> tuple[K, list[_Waiting[T, R]]]:
        key = next(iter(self._waiting))
        waiting = self._waiting.pop(key)
        batch, rest = waiting[: self._max_batch], waiting[self._max_batch :]
        if rest:
            self._waiting[key] = rest
        self._count -= len(batch)
        return key, batch

    async def _call(self, key: K, batch: list[_Waiting[T, R]]) -> None:
        try:
            results = await self._run(key, [item for item, _ in batch])
        except BaseException as error:
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            if not isinstance(error, Exception):
                raise
            return
        for (_, future), result in zip(batch, results, strict=True):
            if not future.done():
                future.set_result(result)
