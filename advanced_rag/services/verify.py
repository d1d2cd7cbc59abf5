"""Verification: does the index hold exactly what SQL says exists?"""

import asyncio

from advanced_rag.models.documents import Chunk, DocumentVersion, TenantId
from advanced_rag.models.identity import Reader
from advanced_rag.models.index import VISUAL, CollectionReport, Generation, VerifyReport
from advanced_rag.models.rights import Rights
from advanced_rag.services.index import Index
from advanced_rag.services.jobs import UPKEEP, JobWorker
from advanced_rag.services.sql import Sql
from advanced_rag.storage.documents import DocumentRepository
from advanced_rag.storage.hydration import hydrate
from advanced_rag.storage.pages import PageRepository
from advanced_rag.storage.rights import RightsRepository

_BATCH = 256


class VerifyService:
    """Compares SQL and Milvus, chunk by chunk, and mends what differs."""

    def __init__(self, database: Sql, index: Index, jobs: JobWorker) -> None:
        self._database = database
        self._index = index
        self._jobs = jobs

    async def verify(self, tenant: TenantId, *, repair: bool) -> VerifyReport:
        """Finish what is due, then compare every live collection; raises UnavailableError when a store is silent."""
        await self._jobs.run_due(UPKEEP)
        reports = [await self._check(tenant, generation, repair) for generation in self._index.generations.values()]
        return VerifyReport(reports)

    async def _check(self, tenant: TenantId, generation: Generation, repair: bool) -> CollectionReport:  # noqa: FBT001 - private
        # Documents come and go meanwhile: only what was visible before and after must be in the index, and only what
        # was visible neither time, and is in nobody's work, must not.
        await asyncio.to_thread(self._index.store.ensure, generation)
        before = await self._expected(tenant, generation)
        found = await asyncio.to_thread(lambda: set(self._index.store.chunk_ids(generation, tenant)))
        unfinished = await self._database.read(tenant, lambda c: DocumentRepository(c).unfinished_chunk_ids())
        after = await self._expected(tenant, generation)
        expected = before & after
        missing, orphaned = expected - found, found - before - after - unfinished
        if repair:
            await self._add(tenant, generation, sorted(missing))
            await asyncio.to_thread(self._index.store.delete, generation, tenant, sorted(orphaned))
        return CollectionReport(
            collection=generation.collection,
            expected=len(expected),
            found=len(found),
            missing=len(missing),
            orphaned=len(orphaned),
            repaired=len(missing) + len(orphaned) if repair else 0,
        )

    async def _expected(self, tenant: TenantId, generation: Generation) -> set[str]:
        if generation.kind == VISUAL:
            return await self._database.read(tenant, lambda t: PageRepository(t).visible_chunk_ids(generation.encoder))
        return await self._database.read(tenant, lambda t: DocumentRepository(t).visible_chunk_ids(generation.domain))

    async def _rights(self, tenant: TenantId, document_ids: set[str]) -> dict[str, Rights]:
        stored = await self._database.read(tenant, lambda c: RightsRepository(c).of(sorted(document_ids)))
        return {document_id: item.rights for document_id, item in stored.items()}

    async def _add(self, tenant: TenantId, generation: Generation, chunk_ids: list[str]) -> None:
        add = self._index.add_pages if generation.kind == VISUAL else self._index.add
        for start in range(0, len(chunk_ids), _BATCH):
            part = chunk_ids[start : start + _BATCH]
            hydrated = await self._database.read(tenant, lambda c, part=part: hydrate(c, part, Reader(tenant, None)))  # type: ignore[misc]
            items: list[tuple[DocumentVersion, list[Chunk]]] = [(item.document, [item.chunk]) for item in hydrated.values()]
            rights = await self._rights(tenant, {item.document.document_id for item in hydrated.values()})
            await add(tenant, items, rights)
