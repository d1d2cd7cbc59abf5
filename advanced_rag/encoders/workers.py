"""Threads that compute vectors, queries before passages, so that neither the event loop nor a query ever waits long."""

import itertools
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from advanced_rag.exceptions import OverloadedError

T = TypeVar("T")
R = TypeVar("R")

QUERIES, PASSAGES, STOP = 0, 1, 2
_CLOSING_TIMEOUT_S = 30


@dataclass(order=True, slots=True)
class _Task:
    priority: int
    number: int
    encode: Callable[[Any], Any] = field(compare=False)
    batch: Sequence[Any] = field(compare=False)
    result: "Future[Any]" = field(compare=False)


class EncoderWorkers:
    """Runs encoders in threads of their own; at most ``max_waiting`` batches wait."""

    def __init__(self, *, threads: int, max_waiting: int, name: str = "encoder") -> None:
        self._tasks: queue.PriorityQueue[_Task] = queue.PriorityQueue(max_waiting)
        self._numbers = itertools.count()
        self._threads = [threading.Thread(target=self._work, name=f"{name}-{n}", daemon=True) for n in range(threads)]
        for thread in self._threads:
            thread.start()

    @property
    def size(self) -> int:
        """The batches that are computed at once."""
        return len(self._threads)

    @property
    def waiting(self) -> int:
        """The batches that wait for their turn."""
        return self._tasks.qsize()

    def submit(self, priority: int, encode: Callable[[Sequence[T]], R], batch: Sequence[T]) -> "Future[R]":
        """Queue one batch; raises OverloadedError when too many wait."""
        result: Future[R] = Future()
        try:
            self._tasks.put_nowait(_Task(priority, next(self._numbers), encode, batch, result))
        except queue.Full:
            raise OverloadedError("the encoder has too much to do") from None
        return result

    def close(self) -> None:
        """Finish what is queued and end the threads."""
        for _ in self._threads:
            self._tasks.put(_Task(STOP, next(self._numbers), _nothing, (), Future()))
        for thread in self._threads:
            thread.join(_CLOSING_TIMEOUT_S)

    def _work(self) -> None:
        while True:
            task = self._tasks.get()
            if task.priority == STOP:
                return
            if not task.result.set_running_or_notify_cancel():
                continue
            try:
                task.result.set_result(task.encode(task.batch))
            except Exception as error:  # noqa: BLE001 - handed to the caller: the thread must outlive it
                task.result.set_exception(error)


def _nothing(_batch: Sequence[Any]) -> None:
    raise AssertionError("the stop mark is never encoded")
