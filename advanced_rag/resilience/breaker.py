"""A circuit breaker: after too many failures a dependency is left alone for a while, then tried with a few calls."""

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
    """When a breaker opens and how it closes again; times in seconds."""

    window_s: float = 10.0
    min_calls: int = 10
    failure_rate: float = 0.5
    open_s: float = 5.0
    probes: int = 3


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
        self._calls: deque[tuple[float, bool]] = deque()
        self._failures = 0
        self._state = BreakerState.CLOSED
        self._opened_at = 0.0
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

        An UnavailableError that blames the dependency is a failure; any other way out is no fault of it.
        """
        probe = self._admit()
        try:
            yield
        except UnavailableError as error:
            if error.blames_dependency:
                self._record(ok=False, probe=probe)
            else:
                self._release(probe=probe)
            raise
        except BaseException:
            self._release(probe=probe)
            raise
        self._record(ok=True, probe=probe)

    def _admit(self) -> bool:
        with self._lock:
            self._half_open_if_due()
            if self._state is BreakerState.CLOSED:
                return False
            if self._state is BreakerState.OPEN or self._probing >= self._policy.probes:
                raise CircuitOpenError(f"{self.name} failed too often and is left alone for a while")
            self._probing += 1
            return True

    def _record(self, *, ok: bool, probe: bool) -> None:
        with self._lock:
            if probe:
                self._probing -= 1
                self._judge_probe(ok=ok)
            elif self._state is BreakerState.CLOSED:
                self._remember(ok=ok)
                self._open_if_failing()

    def _release(self, *, probe: bool) -> None:
        with self._lock:
            self._probing -= probe

    def _half_open_if_due(self) -> None:
        if self._state is BreakerState.OPEN and self._clock() - self._opened_at >= self._policy.open_s:
            self._probing = self._probes_passed = 0
            self._change(BreakerState.HALF_OPEN)

    def _judge_probe(self, *, ok: bool) -> None:
        if self._state is not BreakerState.HALF_OPEN:
            return
        self._probes_passed += ok
        if not ok:
            self._open()
        elif self._probes_passed >= self._policy.probes:
            self._calls.clear()
            self._failures = 0
            self._change(BreakerState.CLOSED)

    def _remember(self, *, ok: bool) -> None:
        moment = self._clock()
        self._calls.append((moment, ok))
        self._failures += not ok
        while self._calls[0][0] < moment - self._policy.window_s or len(self._calls) > _MAX_CALLS:
            _, forgotten_ok = self._calls.popleft()
            self._failures -= not forgotten_ok

    def _open_if_failing(self) -> None:
        if len(self._calls) >= self._policy.min_calls and self._failures / len(self._calls) >= self._policy.failure_rate:
            self._open()

    def _open(self) -> None:
        self._opened_at = self._clock()
        self._change(BreakerState.OPEN)

    def _change(self, state: BreakerState) -> None:
        self._state = state
        self._on_change(state)
