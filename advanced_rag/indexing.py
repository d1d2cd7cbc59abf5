"""Opens the index: the vector store, the encoders that the settings name, and what keeps them up to date."""

import asyncio
import time
from collections.abc import Callable

from anyio import to_thread

from advanced_rag.config import Settings
from advanced_rag.encoders.base import Encoder
from advanced_rag.encoders.cache import EmbeddingCache
from advanced_rag.encoders.load import load_encoder
from advanced_rag.encoders.workers import EncoderWorkers
from advanced_rag.foundation import make_guard
from advanced_rag.models.index import SEMANTIC, SPARSE, VISUAL, Generation, domain_kind
from advanced_rag.resilience.guard import Guard
from advanced_rag.services.embedding import Embedder
from advanced_rag.services.generations import Generations
from advanced_rag.services.sql import Sql
from advanced_rag.services.visual import VisualEmbedder
from advanced_rag.storage.vectors import VectorStore

_WRITES_AT_ONCE = 8


async def open_store(settings: Settings) -> VectorStore:
    """Connect to the vector store; raises StartupError, VectorStoreError."""

    def connect() -> VectorStore:
        return VectorStore.open(settings.milvus_uri, settings.milvus, is_embedded=settings.milvus_is_embedded)

    if settings.milvus_is_embedded:
        return connect()  # in this thread: Milvus Lite is tied to the one that started it
    return await to_thread.run_sync(connect, abandon_on_cancel=True)


async def make_generations(
    settings: Settings,
    database: Sql,
    store: VectorStore,
    workers: EncoderWorkers,
    visual: VisualEmbedder | None,
    announce: Callable[[str], None],
) -> Generations:
    """Load the encoders of the settings; the generations have to be opened yet. Raises StartupError."""

    async def load(model: str) -> Embedder:
        folder, own = settings.data_dir / "encoders", settings.encoder
        encoder = await asyncio.to_thread(lambda: load_encoder(model, own, folder, announce=announce))
        cache = EmbeddingCache(entries=own.cache_entries, ttl_s=own.cache_ttl_s, clock=time.monotonic)
        return Embedder(encoder, workers, cache if settings.features.cache else None, own)

    models = _models(settings)
    loaded = {model: await load(model) for model in dict.fromkeys(models.values())}
    wanted = {kind: _wanted(kind, model, loaded[model].encoder) for kind, model in models.items()}
    if settings.features.sparse:
        wanted[SPARSE] = Generation(SPARSE, 1, settings.milvus.analyzer, None)
    if visual is not None:
        own = visual.encoder
        wanted[VISUAL] = Generation(VISUAL, 1, own.fingerprint, own.dimension, settings.visual.model)
    embedders = {embedder.encoder.fingerprint: embedder for embedder in loaded.values()}
    return Generations(database, store, _write_guard(settings), visual, wanted, embedders, load)


def _models(settings: Settings) -> dict[str, str]:
    """Return what the settings call the encoder of each kind that holds vectors of texts."""
    domains = settings.domains if settings.features.domain else {}
    own = {domain_kind(name): domain.encoder or settings.encoder.model for name, domain in domains.items()}
    return {SEMANTIC: settings.encoder.model, **own}


def _wanted(kind: str, model: str, encoder: Encoder) -> Generation:
    return Generation(kind, 1, encoder.fingerprint, encoder.dimension, model)


def _write_guard(settings: Settings) -> Guard:
    limit_s = settings.milvus.write_timeout_s
    return make_guard("index", permits=_WRITES_AT_ONCE, wait_s=limit_s, timeout_s=limit_s, attempts=settings.milvus.attempts)
