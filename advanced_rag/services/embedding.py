"""Vectors for the rest of the service: queries cached and batched together, passages in batches of like length."""

import asyncio
import time
from collections.abc import Sequence

import numpy as np

from advanced_rag.config import EncoderSettings
from advanced_rag.encoders.base import Encoder, Vectors
from advanced_rag.encoders.cache import EmbeddingCache
from advanced_rag.encoders.workers import PASSAGES, QUERIES, EncoderWorkers
from advanced_rag.resilience.batcher import MicroBatcher
from advanced_rag.telemetry import metrics


class Embedder:
    """One encoder as the services use it; never blocks the event loop."""

    def __init__(
        self, encoder: Encoder, workers: EncoderWorkers, cache: EmbeddingCache | None, settings: EncoderSettings
    ) -> None:
        self.encoder = encoder
        self._workers = workers
        self._cache = cache
        self._batch_tokens = settings.batch_tokens
        self._batcher: MicroBatcher[str, str, Vectors] = MicroBatcher(
            self._encode_queries,
            max_batch=settings.query_batch,
            max_waiting=settings.query_queue,
            concurrency=workers.size,
        )
        self._passage_batches = asyncio.Semaphore(2 * workers.size)

    async def query(self, text: str, scope: str) -> Vectors:
        """Return the unit vector of a question; ``scope`` keeps the cached vectors of tenants apart."""
        if self._cache is None:
            return await self._batcher.submit("query", text)
        key = (scope, self.encoder.fingerprint, text)
        return await self._cache.get_or_compute(key, lambda: self._batcher.submit("query", text))

    def forget(self, scope: str) -> None:
        """Forget the cached queries of a scope."""
        if self._cache is not None:
            self._cache.drop(scope)

    async def passages(self, texts: Sequence[str]) -> Vectors:
        """Return the unit vectors of passages, (n, dimension), in their order."""
        vectors = np.empty((len(texts), self.encoder.dimension), dtype=np.float32)
        lengths = await asyncio.to_thread(self.encoder.tokenizer.count, texts)

        async def encode(batch: list[int]) -> None:
            async with self._passage_batches:
                vectors[batch] = await self._encode(PASSAGES, [texts[index] for index in batch])

        await asyncio.gather(*(encode(batch) for batch in self._batches(lengths)))
        return vectors

    def _batches(self, lengths: Sequence[int]) -> list[list[int]]:
        """Group indices by like length, so that little is padded; each group fits ``batch_tokens`` when padded."""
        batches: list[list[int]] = [[]]
        for index in sorted(range(len(lengths)), key=lengths.__getitem__):
            padded = min(lengths[index] + 2, self.encoder.max_tokens) * (len(batches[-1]) + 1)
            if batches[-1] and padded > self._batch_tokens:
                batches.append([])
            batches[-1].append(index)
        return [batch for batch in batches if batch]

    async def _encode_queries(self, _key: str, texts: list[str]) -> list[Vectors]:
        return list(await self._encode(QUERIES, texts))

    async def _encode(self, priority: int, texts: Sequence[str]) -> Vectors:
        encode = self.encoder.encode_queries if priority == QUERIES else self.encoder.encode_passages
        started = time.perf_counter()
        vectors = await asyncio.wrap_future(self._workers.submit(priority, encode, texts))
        metrics.EMBEDDING_SECONDS.labels("query" if priority == QUERIES else "passage").observe(
            time.perf_counter() - started
        )
        return vectors
