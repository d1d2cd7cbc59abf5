"""The visual leg: the index finds pages by one vector each; all vectors of the best are compared with the question's."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

import numpy as np

from advanced_rag.models.identity import Principal
from advanced_rag.models.index import Generation
from advanced_rag.models.retrieval import Candidate, RetrieveQuery
from advanced_rag.ranking.maxsim import Vectors, maxsim, pool, unpack
from advanced_rag.resilience.deadline import Deadline
from advanced_rag.resilience.guard import Guard
from advanced_rag.services.searches import SearchBatcher
from advanced_rag.services.sql import Sql
from advanced_rag.services.visual import VisualEmbedder
from advanced_rag.storage.pages import PageRepository

_AT_ONCE = 8  # pages compared at once: a page may have a thousand vectors, a long question as many


class PageSearch:
    """Finds pages by what they look like."""

    def __init__(self, database: Sql, embedder: VisualEmbedder, guard: Guard, searches: SearchBatcher) -> None:
        self._database = database
        self._embedder = embedder
        self._guard = guard
        self._searches = searches

    async def find(
        self,
        principal: Principal,
        query: RetrieveQuery,
        generation: Generation,
        limit: int,
        deadline: Deadline,
        stage: Callable[[str], AbstractContextManager[None]],
    ) -> list[Candidate]:
        """Return ``limit`` pages or more, best first, as their chunks.

        Raises what the encoder, the guard of the leg and the database raise.
        """
        settings = self._embedder.settings
        with stage("encode_visual"):
            async with deadline.limit("the visual encoder", settings.query_timeout_s):
                vectors = await self._embedder.query(query.query, principal.cache_scope)
        key = (generation, principal.reader, max(limit, settings.candidates), query.filters)
        with stage("visual"):
            found = await self._guard.call(lambda: self._searches.submit(key, pool(vectors)), deadline)
        with stage("compare_visual"):
            async with deadline.limit("the database"):
                packed = await self._packed(principal, generation.encoder, [candidate.chunk_id for candidate in found])
            return await asyncio.to_thread(_ranked, vectors, packed)

    async def _packed(self, principal: Principal, encoder: str, chunk_ids: list[str]) -> dict[str, bytes]:
        return await self._database.read(principal.tenant, lambda t: PageRepository(t).packed(chunk_ids, encoder))


def _ranked(query: Vectors, packed: Mapping[str, bytes]) -> list[Candidate]:
    ids = sorted(packed)  # ties stand in an order that does not depend on the database
    parts = [ids[start : start + _AT_ONCE] for start in range(0, len(ids), _AT_ONCE)]
    scores = [maxsim(query, [unpack(packed[chunk_id]) for chunk_id in part]) for part in parts]
    flat = np.concatenate(scores) if scores else np.empty(0, dtype=np.float32)
    return [Candidate(ids[place], float(flat[place])) for place in np.argsort(-flat, kind="stable").tolist()]
