"""Threads that compute vectors, queries before passages, so that neither the event loop nor a query ever waits long."""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from advanced_rag.exceptions import OverloadedError

T = TypeVar("T")
R = TypeVar("R")

QUERIES, PASSAGES = 0, 1
_CLOSING_TIMEOUT_S = 30


@dataclass(frozen=True, slots=True)
class _Task:
    encode: Callable[[Any], Any]
    batch: Sequence[Any]
    result: "Future[Any]"


class EncoderWorkers:
    """Runs encoders in threads of their own; at most ``max_waiting`` batches wait.

    Where there are several threads, one leaves passages alone while questions are being asked: until none was for
    ``quiet_s``. So a question waits for no batch of passages.
    """

    def __init__(
        self,
        *,
        threads: int,
        max_waiting: int,
        name: str = "encoder",
        quiet_s: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = max_waiting
        self._quiet_s = quiet_s
        self._clock = clock
        self._waiting: tuple[deque[_Task], deque[_Task]] = (deque(), deque())
        self._turn = threading.Condition()
        self._asked_at = -math.inf
        self._is_closing = False
        self._threads = [
            threading.Thread(target=self._work, args=[n == 0 and threads > 1], name=f"{name}-{n}", daemon=True)
            for n in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def size(self) -> int:
        """The batches that are computed at once."""
        return len(self._threads)

    @property
    def waiting(self) -> int:
        """The batches that wait for their turn."""
        return sum(map(len, self._waiting))

    def submit(self, priority: int, encode: Callable[[Sequence[T]], R], batch: Sequence[T]) -> "Future[R]":
        """Queue one batch; raises OverloadedError when too many wait."""
        result: Future[R] = Future()
        with self._turn:
            if self.waiting >= self._most:
                raise OverloadedError("the encoder has too much to do")
            self._waiting[priority].append(_Task(encode, batch, result))
            if priority == QUERIES:
                self._asked_at = self._clock()
            self._turn.notify_all()
        return result

    def close(self) -> None:
        """Finish what is queued and end the threads."""
        with self._turn:
            self._is_closing = True
            self._turn.notify_all()
        for thread in self._threads:
            thread.join(_CLOSING_TIMEOUT_S)

    def _work(self, is_for_queries: bool) -> None:  # noqa: FBT001 - the target of a thread
        while (task := self._next(is_for_queries)) is not None:
            if not task.result.set_running_or_notify_cancel():
                continue
            try:
                task.result.set_result(task.encode(task.batch))
            except Exception as error:  # noqa: BLE001 - handed to the caller: the thread must outlive it
                task.result.set_exception(error)

    def _next(self, is_for_queries: bool) -> _Task | None:  # noqa: FBT001 - private
        """Wait for the next batch; None when there will be none."""
        queries, passages = self._waiting
        with self._turn:
            while True:
                if queries:
                    return queries.popleft()
                kept_free_s = self._kept_free_s() if is_for_queries else 0.0
                if passages and kept_free_s <= 0:
                    return passages.popleft()
                if self._is_closing and not passages:
                    return None
                self._turn.wait(kept_free_s if passages else None)

    def _kept_free_s(self) -> float:
        return 0.0 if self._is_closing else self._asked_at + self._quiet_s - self._clock()
