import asyncio

import pytest

from advanced_rag.exceptions import (
    BulkheadFullError,
    CircuitOpenError,
    DeadlineExceededError,
    DependencyTimeoutError,
    TransactionUndoneError,
    VectorStoreError,
    VectorStoreRefusedError,
)
from advanced_rag.resilience.breaker import BreakerPolicy, CircuitBreaker
from advanced_rag.resilience.bulkhead import Bulkhead
from advanced_rag.resilience.deadline import Deadline
from advanced_rag.resilience.guard import Guard


def guard(*, permits: int = 2, wait_s: float = 0.01, timeout_s: float = 5, attempts: int = 3, min_calls: int = 100) -> Guard:
    breaker = CircuitBreaker("test", BreakerPolicy(min_calls=min_calls))
    bulkhead = Bulkhead("test", permits=permits, wait_s=wait_s)
    return Guard("test", bulkhead=bulkhead, breaker=breaker, timeout_s=timeout_s, attempts=attempts)


class Flaky:
    """Fails with the errors it is given, one a call, then succeeds."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    async def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


def test_a_passing_failure_is_tried_again():
    flaky = Flaky(VectorStoreError("1"), VectorStoreError("2"))
    assert asyncio.run(guard().call(flaky, Deadline.after(5))) == "done"
    assert flaky.calls == 3


def test_attempts_are_bounded():
    flaky = Flaky(*[VectorStoreError("down")] * 9)
    with pytest.raises(VectorStoreError):
        asyncio.run(guard().call(flaky, Deadline.after(5)))
    assert flaky.calls == 3


def test_a_refusal_is_not_tried_again():
    flaky = Flaky(VectorStoreRefusedError("no"))
    with pytest.raises(VectorStoreRefusedError):
        asyncio.run(guard().call(flaky, Deadline.after(5)))
    assert flaky.calls == 1


def test_what_must_not_run_twice_is_tried_again_only_when_nothing_was_done():
    unknown, undone = Flaky(VectorStoreError("broke off")), Flaky(TransactionUndoneError("deadlock"))
    with pytest.raises(VectorStoreError):
        asyncio.run(guard().call(unknown, Deadline.after(5), repeatable=False))
    assert asyncio.run(guard().call(undone, Deadline.after(5), repeatable=False)) == "done"
    assert (unknown.calls, undone.calls) == (1, 2)


def test_what_hangs_is_given_up_at_its_timeout_and_blamed():
    guarded = guard(timeout_s=0.01, min_calls=1)
    with pytest.raises(DependencyTimeoutError):
        asyncio.run(guarded.call(asyncio.Event().wait, Deadline.after(5)))
    with pytest.raises(CircuitOpenError):
        asyncio.run(guarded.call(Flaky(), Deadline.after(5)))


def test_a_caller_in_a_hurry_gives_up_at_its_deadline_and_blames_nobody():
    guarded = guard(min_calls=1)
    with pytest.raises(DeadlineExceededError):
        asyncio.run(guarded.call(asyncio.Event().wait, Deadline.after(0.01)))
    assert asyncio.run(guarded.call(Flaky(), Deadline.after(5))) == "done"


def test_calls_beyond_the_permits_are_turned_away_and_the_permit_comes_back():
    async def run() -> str:
        hold, guarded = asyncio.Event(), guard(permits=1)
        first = asyncio.create_task(guarded.call(hold.wait, Deadline.after(5)))
        await asyncio.sleep(0)
        with pytest.raises(BulkheadFullError):
            await guarded.call(Flaky(), Deadline.after(5))
        hold.set()
        await first
        return await guarded.call(Flaky(), Deadline.after(5))

    assert asyncio.run(run()) == "done"


def test_no_more_than_the_queue_holds_wait_for_a_permit():
    async def run() -> None:
        hold, bulkhead = asyncio.Event(), Bulkhead("test", permits=1, wait_s=60, max_waiting=1)

        async def work() -> None:
            async with bulkhead.permit(60):
                await hold.wait()

        tasks = [asyncio.create_task(work()) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(BulkheadFullError):
            await work()
        hold.set()
        await asyncio.gather(*tasks)
        await work()

    asyncio.run(run())


def test_an_open_breaker_calls_nothing():
    async def run() -> int:
        guarded, flaky = guard(attempts=1, min_calls=1), Flaky(VectorStoreError("down"))
        with pytest.raises(VectorStoreError):
            await guarded.call(flaky, Deadline.after(5))
        with pytest.raises(CircuitOpenError):
            await guarded.call(flaky, Deadline.after(5))
        return flaky.calls

    assert asyncio.run(run()) == 1


def test_an_outage_is_not_multiplied_by_retries():
    async def run() -> int:
        guarded, calls = guard(min_calls=10_000), 0

        async def down() -> None:
            nonlocal calls
            calls += 1
            raise VectorStoreError("down")

        for _ in range(100):
            with pytest.raises(VectorStoreError):
                await guarded.call(down, Deadline.after(5))
        return calls

    assert asyncio.run(run()) <= 100 + 10 + 100 * 0.1 + 1
