"""Searches and hydrations of many requests, sent together where they ask the same place."""

import asyncio
from collections.abc import Callable
from typing import Any

from advanced_rag.models.filters import Filter
from advanced_rag.models.identity import Reader
from advanced_rag.models.index import Generation
from advanced_rag.models.retrieval import Candidate, Hydrated
from advanced_rag.resilience.batcher import MicroBatcher
from advanced_rag.services.index import Index
from advanced_rag.services.sql import Sql
from advanced_rag.storage.hydration import hydrate

SearchKey = tuple[Generation, Reader, int, Filter | None]
SearchBatcher = MicroBatcher[SearchKey, Any, list[Candidate]]
HydrationBatcher = MicroBatcher[Reader, list[str], dict[str, Hydrated]]


def search_batcher(index: Index, *, max_waiting: int) -> SearchBatcher:
    """Return the batcher that sends searches of one collection, reader and filter to Milvus together."""

    async def run(key: SearchKey, queries: list[Any]) -> list[list[Candidate]]:
        generation, reader, limit, condition = key
        call: Callable[[], list[list[Candidate]]] = lambda: index.store.search(  # noqa: E731 - typed, for the thread
            generation, reader, queries, limit=limit, condition=condition
        )
        return await asyncio.to_thread(call)

    return MicroBatcher(run, max_batch=32, max_waiting=max_waiting, concurrency=2)


def hydration_batcher(database: Sql, *, max_waiting: int) -> HydrationBatcher:
    """Return the batcher that reads the chunks of several answers to one reader in one statement."""

    async def run(reader: Reader, wanted: list[list[str]]) -> list[dict[str, Hydrated]]:
        ids = list({chunk_id for answer in wanted for chunk_id in answer})
        found = await database.read(reader.tenant, lambda connection: hydrate(connection, ids, reader))
        return [{chunk_id: found[chunk_id] for chunk_id in answer if chunk_id in found} for answer in wanted]

    return MicroBatcher(run, max_batch=16, max_waiting=max_waiting, concurrency=2)
