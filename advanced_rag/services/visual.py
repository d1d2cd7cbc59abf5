"""The visual encoder for the rest of the service: in a thread of its own, questions before pages."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from advanced_rag.config import EncoderSettings, VisualSettings
from advanced_rag.encoders.base import Vectors
from advanced_rag.encoders.cache import EmbeddingCache
from advanced_rag.encoders.visual import Picture, VisualEncoder
from advanced_rag.encoders.workers import PASSAGES, QUERIES, EncoderWorkers
from advanced_rag.ranking.maxsim import pack
from advanced_rag.resilience.batcher import MicroBatcher
from advanced_rag.telemetry import metrics

R = TypeVar("R")


class VisualEmbedder:
    """Never blocks the event loop, nor the encoders of text: a question waits for one batch of pages at most."""

    def __init__(
        self,
        encoder: VisualEncoder,
        workers: EncoderWorkers,
        cache: EmbeddingCache | None,
        settings: VisualSettings,
        batching: EncoderSettings,
    ) -> None:
        self.encoder = encoder
        self.settings = settings
        self._workers = workers
        self._cache = cache
        self._batcher: MicroBatcher[str, str, Vectors] = MicroBatcher(
            self._encode_queries, max_batch=batching.query_batch, max_waiting=batching.query_queue
        )

    async def query(self, text: str, scope: str) -> Vectors:
        """Return the unit vectors of a question, (n, dimension); ``scope`` keeps what is cached of tenants apart."""
        if self._cache is None:
            return await self._batcher.submit("query", text)
        key = (scope, self.encoder.fingerprint, text)
        return await self._cache.get_or_compute(key, lambda: self._batcher.submit("query", text))

    def forget(self, scope: str) -> None:
        """Forget the cached queries of a scope."""
        if self._cache is not None:
            self._cache.drop(scope)

    async def pages(self, pictures: Sequence[Picture]) -> list[bytes]:
        """Return the vectors of pages, packed, in their order; hand in few at a time. Raises EncoderError."""

        def encode(batch: Sequence[Picture]) -> list[bytes]:
            return [pack(vectors) for vectors in self.encoder.pages(batch)]

        return await self._encode(PASSAGES, "page", encode, pictures)

    async def _encode_queries(self, _key: str, texts: list[str]) -> list[Vectors]:
        return await self._encode(QUERIES, "page_query", self.encoder.queries, texts)

    async def _encode(self, priority: int, kind: str, encode: Callable[[Sequence[Any]], R], batch: Sequence[Any]) -> R:
        started = time.perf_counter()
        found = await asyncio.wrap_future(self._workers.submit(priority, encode, batch))
        metrics.EMBEDDING_SECONDS.labels(kind).observe(time.perf_counter() - started)
        return found
