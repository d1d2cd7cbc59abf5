import asyncio

import pytest

from advanced_rag.exceptions import OverloadedError
from advanced_rag.resilience.batcher import MicroBatcher


def run(work):
    return asyncio.run(work)


class Recorder:
    """Holds the first call until it is let go, so that what comes meanwhile must wait."""

    def __init__(self) -> None:
        self.batches: list[tuple[str, list[int]]] = []
        self.go = asyncio.Event()

    async def __call__(self, key: str, items: list[int]) -> list[int]:
        self.batches.append((key, items))
        await self.go.wait()
        return [item * 10 for item in items]


def test_what_arrives_during_a_call_goes_together_and_gets_its_own_result():
    async def work() -> None:
        record = Recorder()
        batcher = MicroBatcher(record, max_batch=8, max_waiting=100)
        first = asyncio.create_task(batcher.submit("k", 0))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        others = [asyncio.create_task(batcher.submit("k", n)) for n in range(1, 11)]
        await asyncio.sleep(0)
        record.go.set()
        assert await asyncio.gather(first, *others) == [n * 10 for n in range(11)]
        assert [len(items) for _, items in record.batches] == [1, 8, 2]

    run(work())


def test_keys_are_never_mixed_and_a_cancelled_caller_is_left_out():
    async def work() -> None:
        record = Recorder()
        batcher = MicroBatcher(record, max_batch=8, max_waiting=100)
        tasks = [asyncio.create_task(batcher.submit(key, n)) for n, key in enumerate("aabba")]
        await asyncio.sleep(0)
        tasks[1].cancel()
        record.go.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert sorted(record.batches) == [("a", [0, 4]), ("b", [2, 3])]

    run(work())


def test_a_failing_call_fails_its_callers_and_the_next_ones_go_on():
    async def work() -> None:
        async def fail_once(key: str, items: list[int]) -> list[int]:
            if key == "bad":
                raise ValueError("no")
            return items

        batcher = MicroBatcher(fail_once, max_batch=8, max_waiting=100)
        with pytest.raises(ValueError, match="no"):
            await batcher.submit("bad", 1)
        assert await batcher.submit("good", 2) == 2

    run(work())


def test_beyond_its_queue_it_refuses_at_once():
    async def work() -> None:
        record = Recorder()
        batcher = MicroBatcher(record, max_batch=1, max_waiting=1)
        waiting = asyncio.create_task(batcher.submit("k", 1))
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError):
            await batcher.submit("k", 2)
        record.go.set()
        assert await waiting == 10

    run(work())
