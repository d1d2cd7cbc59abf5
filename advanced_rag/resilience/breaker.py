"""A circuit breaker: after too many failures a dependency is left alone for a while, then tried with a few calls."""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum

from advanced_rag.exceptions import CircuitOpenError, UnavailableError

Clock = Callable[[], float]

_MAX_CALLS = 10_000  # remembered, however many there are in the window


class BreakerState(IntEnum):
    """The states, in the numbers the metric shows."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When a breaker opens and how it closes again; times in seconds. A call that takes ``slow_s`` or more is slow."""

    window_s: float = 10.0
    min_calls: int = 10
    failure_rate: float = 0.5
    slow_s: float = math.inf
    slow_rate: float = 0.8
    open_s: float = 2.0
    probes: int = 3


@dataclass(frozen=True, slots=True)
class _Call:
    at: float
    failed: bool
    slow: bool


class CircuitBreaker:
    """Thread-safe; the lock is held to count, never across a call."""

    def __init__(
        self,
        name: str,
        policy: BreakerPolicy | None = None,
        *,
        clock: Clock = time.monotonic,
        on_change: Callable[[BreakerState], None] = lambda _: None,
    ) -> None:
        self.name = name
        self._policy = policy or BreakerPolicy()
        self._clock = clock
        self._on_change = on_change
        self._lock = threading.RLock()
        self._window = _Window(self._policy)
        self._state = BreakerState.CLOSED
        self._opened_at = 0.0
        self._trial = 0  # numbers the times it was half open: a probe of an earlier one no longer counts
        self._probing = 0
        self._probes_passed = 0

    @property
    def state(self) -> BreakerState:
        """The state now."""
        with self._lock:
            self._half_open_if_due()
            return self._state

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Run a call under the breaker; raises CircuitOpenError instead when it is open.

        An UnavailableError that blames the dependency is a failure; any other error is no fault of it.
        """
        probe = self._admit()
        started = self._clock()
        try:
            yield
        except UnavailableError as error:
            if error.blames_dependency:
                self._record(started, probe, failed=True)
            else:
                self._release(probe)
            raise
        except BaseException:
            self._release(probe)
            raise
        self._record(started, probe, failed=False)

    def _admit(self) -> int | None:
        """Let a call through, as a probe of the returned trial when half open."""
        with self._lock:
            self._half_open_if_due()
            if self._state is BreakerState.CLOSED:
                return None
            if self._state is BreakerState.OPEN or self._probing >= self._policy.probes:
                raise CircuitOpenError(f"{self.name} failed too often and is left alone for a while")
            self._probing += 1
            return self._trial

    def _record(self, started: float, probe: int | None, *, failed: bool) -> None:
        with self._lock:
            now = self._clock()
            call = _Call(now, failed, now - started >= self._policy.slow_s)
            if probe is not None:
                self._judge_probe(probe, call)
            elif self._state is BreakerState.CLOSED:
                self._window.add(call)
                if self._window.is_failing():
                    self._open()

    def _release(self, probe: int | None) -> None:
        with self._lock:
            if probe == self._trial and self._state is BreakerState.HALF_OPEN:
                self._probing -= 1

    def _half_open_if_due(self) -> None:
        if self._state is BreakerState.OPEN and self._clock() - self._opened_at >= self._policy.open_s:
            self._trial += 1
            self._probing = self._probes_passed = 0
            self._change(BreakerState.HALF_OPEN)

    def _judge_probe(self, probe: int, call: _Call) -> None:
        if probe != self._trial or self._state is not BreakerState.HALF_OPEN:
            return
        self._probing -= 1
        if call.failed or call.slow:
            self._open()
            return
        self._probes_passed += 1
        if self._probes_passed >= self._policy.probes:
            self._window = _Window(self._policy)
            self._change(BreakerState.CLOSED)

    def _open(self) -> None:
        self._opened_at = self._clock()
        self._change(BreakerState.OPEN)

    def _change(self, state: BreakerState) -> None:
        self._state = state
        self._on_change(state)


class _Window:
    """The calls of the last seconds, counted as they come and go."""

    def __init__(self, policy: BreakerPolicy) -> None:
        self._policy = policy
        self._calls: deque[_Call] = deque()
        self._failed = self._slow = 0

    def add(self, call: _Call) -> None:
        self._calls.append(call)
        self._failed += call.failed
        self._slow += call.slow
        while self._calls[0].at < call.at - self._policy.window_s or len(self._calls) > _MAX_CALLS:
            forgotten = self._calls.popleft()
            self._failed -= forgotten.failed
            self._slow -= forgotten.slow

    def is_failing(self) -> bool:
        count = len(self._calls)
        return count >= self._policy.min_calls and (
            self._failed >= self._policy.failure_rate * count or self._slow >= self._policy.slow_rate * count
        )
