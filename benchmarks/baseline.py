"""What the parts take alone, on the data directory a service has filled: the measure its speed is judged by."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from advanced_rag.config import Settings
from advanced_rag.container import Container
from advanced_rag.models.documents import DEFAULT_TENANT
from advanced_rag.models.identity import LOCAL
from advanced_rag.models.index import SEMANTIC
from advanced_rag.opening import Opening
from advanced_rag.storage.hydration import hydrate
from advanced_rag.storage.inventory import InventoryRepository
from advanced_rag.text.chunk import passage


@dataclass(frozen=True, slots=True)
class Baseline:
    """Seconds to encode every passage in the index; medians of one query's encoding and one dense search, in ms."""

    passages: int
    passages_s: float
    query_ms: float
    search_ms: float


def measure(data_dir: Path, queries: Sequence[str]) -> Baseline:
    """Measure encoder and vector store in this process, without HTTP, SQL or the other legs."""

    async def run() -> Baseline:
        async with Opening(Settings(data_dir=data_dir)) as opening:
            container = opening.container
            query_ms, search_ms = _one_by_one(container, queries)
            texts = await _passages(container)
            started = time.perf_counter()
            await container.index.semantic.passages(texts)
            return Baseline(len(texts), time.perf_counter() - started, query_ms, search_ms)

    return asyncio.run(run())


def _one_by_one(container: Container, queries: Sequence[str]) -> tuple[float, float]:
    index, encoder = container.index, container.index.semantic.encoder
    limit = container.settings.retrieval.candidates
    encoding: list[float] = []
    searching: list[float] = []
    for query in queries:
        started = time.perf_counter()
        vector = encoder.encode_queries([query])[0]
        encoded = time.perf_counter()
        index.store.search(index.generations[SEMANTIC], LOCAL.reader, [vector], limit=limit)
        encoding.append((encoded - started) * 1000)
        searching.append((time.perf_counter() - encoded) * 1000)
    return float(np.median(encoding)), float(np.median(searching))


async def _passages(container: Container) -> list[str]:
    semantic = container.index.generations[SEMANTIC]
    everything = lambda t: InventoryRepository(t).visible("0", "f" * 64, semantic)  # noqa: E731
    ids = sorted(await container.database.read(DEFAULT_TENANT, everything))
    texts: list[str] = []
    for start in range(0, len(ids), 500):
        part = ids[start : start + 500]
        found = await container.database.read(DEFAULT_TENANT, lambda c, part=part: hydrate(c, part, LOCAL.reader))
        texts += [passage(item.document.title, item.chunk.headings, item.chunk.text) for item in found.values()]
    return texts
