import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advanced_rag.exceptions import CircuitOpenError, InvalidRequestError, VectorStoreError
from advanced_rag.resilience.breaker import BreakerPolicy, BreakerState, CircuitBreaker

POLICY = BreakerPolicy(window_s=10, min_calls=4, failure_rate=0.5, open_s=5, probes=2)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> CircuitBreaker:
    return CircuitBreaker("test", POLICY, clock=clock)


def call(breaker: CircuitBreaker, error: Exception | None = None) -> None:
    with breaker.watch():
        if error is not None:
            raise error


def fail(breaker: CircuitBreaker, times: int = 1) -> None:
    for _ in range(times):
        with pytest.raises(VectorStoreError):
            call(breaker, VectorStoreError("down"))


def test_it_opens_at_the_failure_rate_and_calls_nothing_while_open(breaker):
    call(breaker)
    call(breaker)
    fail(breaker, 2)
    assert breaker.state is BreakerState.OPEN
    with pytest.raises(CircuitOpenError):
        call(breaker)


def test_it_stays_closed_below_the_minimum_of_calls(breaker):
    fail(breaker, 3)
    assert breaker.state is BreakerState.CLOSED


def test_failures_outside_the_window_are_forgotten(breaker, clock):
    fail(breaker, 3)
    clock.now = 11
    fail(breaker)
    assert breaker.state is BreakerState.CLOSED


def test_good_probes_close_it_and_a_bad_one_opens_it_again(breaker, clock):
    fail(breaker, 4)
    clock.now = 5
    assert breaker.state is BreakerState.HALF_OPEN
    fail(breaker)
    assert breaker.state is BreakerState.OPEN
    clock.now = 10
    call(breaker)
    call(breaker)
    assert breaker.state is BreakerState.CLOSED


def test_half_open_lets_only_its_probes_through(breaker, clock):
    fail(breaker, 4)
    clock.now = 5
    with breaker.watch(), breaker.watch(), pytest.raises(CircuitOpenError):
        call(breaker)


def test_it_opens_when_nearly_all_calls_are_slow(clock):
    breaker = CircuitBreaker("test", BreakerPolicy(min_calls=5, slow_s=2, slow_rate=0.8), clock=clock)
    for seconds in (2, 2, 0, 2, 2):
        with breaker.watch():
            clock.now += seconds
    assert breaker.state is BreakerState.OPEN


def test_a_probe_that_ends_in_a_later_trial_changes_nothing(breaker, clock):
    fail(breaker, 4)
    clock.now = 5
    with breaker.watch():
        fail(breaker)
        clock.now = 10
        assert breaker.state is BreakerState.HALF_OPEN
    assert breaker.state is BreakerState.HALF_OPEN
    with breaker.watch(), breaker.watch(), pytest.raises(CircuitOpenError):
        call(breaker)


class Model:
    """What a breaker should do, in the plainest words: it looks at every call ever made, each time."""

    def __init__(self) -> None:
        self.calls: list[tuple[float, bool]] = []
        self.state = BreakerState.CLOSED
        self.since = 0.0
        self.passed = 0

    def come_to(self, now: float) -> None:
        if self.state is BreakerState.OPEN and now - self.since >= POLICY.open_s:
            self.state, self.passed = BreakerState.HALF_OPEN, 0

    def call(self, now: float, *, ok: bool) -> bool:
        """Make a call; return whether it was let through."""
        self.come_to(now)
        if self.state is BreakerState.OPEN:
            return False
        if self.state is BreakerState.HALF_OPEN:
            self.passed += ok
            if not ok:
                self.state, self.since = BreakerState.OPEN, now
            elif self.passed >= POLICY.probes:
                self.state, self.calls = BreakerState.CLOSED, []
            return True
        self.calls.append((now, ok))
        recent = [good for at, good in self.calls if at >= now - POLICY.window_s]
        if len(recent) >= POLICY.min_calls and recent.count(False) >= POLICY.failure_rate * len(recent):
            self.state, self.since = BreakerState.OPEN, now
        return True


@given(st.lists(st.tuples(st.sampled_from([0, 0.5, 1, 3, 6]), st.booleans()), max_size=60))
def test_it_does_what_the_plain_model_does(steps):
    clock, model = Clock(), Model()
    breaker = CircuitBreaker("test", POLICY, clock=clock)
    for seconds, ok in steps:
        clock.now += seconds
        let_through = True
        try:
            call(breaker, None if ok else VectorStoreError("down"))
        except VectorStoreError:
            pass
        except CircuitOpenError:
            let_through = False
        assert let_through == model.call(clock.now, ok=ok)
    model.come_to(clock.now)
    assert breaker.state is model.state


def test_what_the_caller_did_wrong_is_no_failure(breaker):
    for _ in range(10):
        with pytest.raises(InvalidRequestError):
            call(breaker, InvalidRequestError("bad"))
    assert breaker.state is BreakerState.CLOSED


def test_a_hundred_threads_leave_it_consistent():
    states: list[BreakerState] = []
    breaker = CircuitBreaker("test", POLICY, on_change=states.append)
    start = threading.Barrier(100)

    def hammer(number: int) -> None:
        start.wait()
        for n in range(50):
            try:
                call(breaker, VectorStoreError("down") if (n + number) % 2 else None)
            except (VectorStoreError, CircuitOpenError):
                continue

    threads = [threading.Thread(target=hammer, args=(number,)) for number in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert breaker.state is BreakerState.OPEN
    assert states == [BreakerState.OPEN]
