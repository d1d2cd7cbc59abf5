"""A cache of query vectors: least recently used, with a time to live, one computation per key."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future

from cachetools import TTLCache

from advanced_rag.encoders.base import Vectors
from advanced_rag.telemetry import metrics

Key = tuple[str, str, str]


class EmbeddingCache:
    """Thread-safe; when many ask for one key at once, one computes and the others wait for it."""

    def __init__(self, *, entries: int, ttl_s: float, clock: Callable[[], float]) -> None:
        self._lock = threading.Lock()
        self._vectors: TTLCache[Key, Vectors] = TTLCache(entries, ttl_s, timer=clock)
        self._computing: dict[Key, Future[Vectors]] = {}

    def get(self, key: Key) -> Vectors | None:
        """Return the vector of a key, None when it is not there or too old."""
        with self._lock:
            return self._vectors.get(key)

    def put(self, key: Key, vector: Vectors) -> None:
        """Keep a vector."""
        with self._lock:
            self._vectors[key] = vector
            metrics.EMBEDDING_CACHE_SIZE.set(len(self._vectors))

    def drop(self, scope: str) -> int:
        """Forget what was kept for a scope; returns how many vectors that were."""
        with self._lock:
            keys = [key for key in self._vectors if key[0] == scope]
            for key in keys:
                self._vectors.pop(key, None)
            metrics.EMBEDDING_CACHE_SIZE.set(len(self._vectors))
        return len(keys)

    async def get_or_compute(self, key: Key, compute: Callable[[], Awaitable[Vectors]]) -> Vectors:
        """Return the vector of a key, computing it once however many ask.

        The computation goes on when the caller that started it is cancelled: the others still wait for it.
        """
        vector = self.get(key)
        if vector is not None:
            metrics.EMBEDDING_CACHE_HITS.inc()
            return vector
        metrics.EMBEDDING_CACHE_MISSES.inc()
        with self._lock:
            result = self._computing.get(key)
            if leads := result is None:
                result = self._computing[key] = Future()
        if leads:
            task = asyncio.create_task(self._compute(key, compute, result))
            return await asyncio.shield(task)
        return await asyncio.shield(asyncio.wrap_future(result))

    async def _compute(self, key: Key, compute: Callable[[], Awaitable[Vectors]], result: "Future[Vectors]") -> Vectors:
        try:
            vector = await compute()
        except BaseException as error:
            result.set_exception(error)
            raise
        else:
            self.put(key, vector)
            result.set_result(vector)
            return vector
        finally:
            with self._lock:
                del self._computing[key]
