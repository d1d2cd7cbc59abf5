import threading

import pytest

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
