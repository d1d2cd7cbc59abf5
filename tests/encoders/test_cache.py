import asyncio

import numpy as np
import pytest

from advanced_rag.encoders.cache import EmbeddingCache

KEY = ("tenant", "model", "text")


def make(entries: int = 2, now: list[float] | None = None) -> EmbeddingCache:
    moment = now or [0.0]
    return EmbeddingCache(entries=entries, ttl_s=10, clock=lambda: moment[0])


def test_an_entry_lives_for_its_time_and_the_least_used_goes_first():
    now = [0.0]
    cache = make(now=now)
    for text in "ab":
        cache.put(("t", "m", text), np.ones(1, np.float32))
    cache.get(("t", "m", "a"))
    cache.put(("t", "m", "c"), np.ones(1, np.float32))
    assert cache.get(("t", "m", "b")) is None
    now[0] = 11
    assert cache.get(("t", "m", "a")) is None


def test_a_stampede_computes_once_even_when_the_first_caller_leaves():
    calls = 0

    async def work() -> None:
        cache, go = make(), asyncio.Event()

        async def compute() -> np.ndarray:
            nonlocal calls
            calls += 1
            await go.wait()
            return np.full(1, 7, np.float32)

        leader, *followers = [asyncio.create_task(cache.get_or_compute(KEY, compute)) for _ in range(50)]
        await asyncio.sleep(0)
        leader.cancel()
        await asyncio.sleep(0)
        go.set()
        assert all(vector[0] == 7 for vector in await asyncio.gather(*followers))
        with pytest.raises(asyncio.CancelledError):
            await leader

    asyncio.run(work())
    assert calls == 1


def test_what_was_kept_for_one_scope_is_dropped_alone():
    cache = EmbeddingCache(entries=10, ttl_s=60, clock=lambda: 0.0)
    for scope in ("ours", "theirs"):
        cache.put((scope, "model", "text"), np.ones(1, np.float32))
    assert cache.drop("ours") == 1
    assert cache.get(("ours", "model", "text")) is None
    assert cache.get(("theirs", "model", "text")) is not None
