"""The index as the services see it: the live collections, what is written to them, what is purged from them."""

import asyncio
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

from advanced_rag.models.documents import Chunk, DocumentVersion, TenantId
from advanced_rag.models.index import SEMANTIC, SPARSE, VISUAL, Generation, domain_kind
from advanced_rag.models.jobs import Job
from advanced_rag.models.rights import Rights
from advanced_rag.ranking.maxsim import pool, unpack
from advanced_rag.resilience.deadline import Deadline
from advanced_rag.resilience.guard import Guard
from advanced_rag.services.embedding import Embedder
from advanced_rag.services.sql import Sql
from advanced_rag.services.visual import VisualEmbedder
from advanced_rag.storage.collections import IndexRow, Vectors
from advanced_rag.storage.filters import facets, labels
from advanced_rag.storage.ids import document_key
from advanced_rag.storage.pages import PageRepository
from advanced_rag.storage.vectors import VectorStore, VersionRange
from advanced_rag.text.chunk import passage

_RELABELLED_AT_ONCE = 256
_PAGES_AT_ONCE = 16  # a page has a hundred kilobytes of vectors or more
_IDS_AT_ONCE = 500


class Index:
    """Writes chunks to every live collection they belong in."""

    def __init__(
        self,
        store: VectorStore,
        generations: dict[str, Generation],
        semantic: Embedder,
        domains: dict[str, Embedder],
        guard: Guard,
        database: Sql,
        visual: VisualEmbedder | None = None,
    ) -> None:
        self.store = store
        self.guard = guard
        self.generations = generations
        self.semantic = semantic
        self.domains = domains
        self.visual = visual
        self._database = database

    async def add(
        self,
        tenant: TenantId,
        items: Sequence[tuple[DocumentVersion, Sequence[Chunk]]],
        rights: Mapping[str, Rights],
    ) -> None:
        """Embed chunks and write them, with the rights of each document; doing it again writes the same.

        A chunk without text stands for a page, and is with the pages alone. Raises EncoderError, OverloadedError, or what
        the guards of writes and of the database raise.
        """
        if VISUAL in self.generations:
            await self.add_pages(tenant, items, rights)
        texts = [(document, chunk) for document, pieces in items for chunk in pieces if chunk.text]
        if not texts:
            return
        rows = [index_row(tenant, document, chunk, rights[document.document_id]) for document, chunk in texts]
        domains = [document.domain for document, _ in texts]
        vectors = await self.semantic.passages([row.text for row in rows])
        embedded = [_with(row, vector) for row, vector in zip(rows, vectors, strict=True)]
        writes = [(self.generations[SEMANTIC], embedded)]
        if SPARSE in self.generations:
            writes.append((self.generations[SPARSE], rows))
        writes += await self._domain_writes(embedded, domains)
        await asyncio.gather(*(self._write(partial(self.store.upsert, *write)) for write in writes))

    async def add_pages(
        self,
        tenant: TenantId,
        items: Sequence[tuple[DocumentVersion, Sequence[Chunk]]],
        rights: Mapping[str, Rights],
    ) -> None:
        """Write the pages there are vectors of in SQL, one pooled vector each; no encoder is needed for it."""
        generation = self.generations[VISUAL]
        found = {
            chunk.chunk_id: (document, chunk) for document, pieces in items for chunk in pieces if chunk.page is not None
        }
        seen = await self._seen(tenant, list(found), generation.encoder)
        for part in _parts(seen, _PAGES_AT_ONCE):
            pooled = await self._pooled(tenant, part, generation.encoder)
            rows = [
                _with(index_row(tenant, *found[chunk_id], rights[found[chunk_id][0].document_id]), vector)
                for chunk_id, vector in pooled.items()
            ]
            await self._write(partial(self.store.upsert, generation, rows))

    async def _seen(self, tenant: TenantId, chunk_ids: Sequence[str], encoder: str) -> list[str]:
        seen: list[str] = []
        for part in _parts(chunk_ids, _IDS_AT_ONCE):
            seen += await self._database.read(tenant, lambda t, part=part: PageRepository(t).seen(part, encoder))  # type: ignore[misc]
        return seen

    async def _pooled(self, tenant: TenantId, chunk_ids: Sequence[str], encoder: str) -> dict[str, Vectors]:
        packed = await self._database.read(tenant, lambda t: PageRepository(t).packed(chunk_ids, encoder))
        return await asyncio.to_thread(lambda: {chunk_id: pool(unpack(vectors)) for chunk_id, vectors in packed.items()})

    async def _domain_writes(
        self, embedded: list[IndexRow], domains: list[str | None]
    ) -> list[tuple[Generation, list[IndexRow]]]:
        writes: list[tuple[Generation, list[IndexRow]]] = []
        for domain, embedder in self.domains.items():
            part = [row for row, named in zip(embedded, domains, strict=True) if named == domain]
            if part and embedder is not self.semantic:
                vectors = await embedder.passages([row.text for row in part])
                part = [_with(row, vector) for row, vector in zip(part, vectors, strict=True)]
            if part:
                writes.append((self.generations[domain_kind(domain)], part))
        return writes

    async def relabel(self, tenant: TenantId, document: DocumentVersion, chunks: Sequence[Chunk], rights: Rights) -> None:
        """Write anew what chunks are filtered by, with the vectors that are there; only what has none is embedded.

        Raises what ``add`` raises.
        """
        for start in range(0, len(chunks), _RELABELLED_AT_ONCE):
            part = chunks[start : start + _RELABELLED_AT_ONCE]
            known = await self._rewrite([index_row(tenant, document, chunk, rights) for chunk in part], document.domain)
            missing = [chunk for chunk in part if chunk.chunk_id not in known]
            if missing:
                await self.add(tenant, [(document, missing)], {document.document_id: rights})

    async def _rewrite(self, rows: list[IndexRow], domain: str | None) -> set[str]:
        """Write rows with their vectors, wherever they have one; returns which have all that they need."""
        known = {row.chunk_id for row in rows}
        for generation in self.generations.values():
            found = rows if generation.kind == SPARSE else await self._with_vectors(generation, rows)
            if found:
                await self._write(partial(self.store.upsert, generation, found))
            if generation.kind == SEMANTIC or (domain and generation.kind == domain_kind(domain)):
                known &= {row.chunk_id for row in found}
        return known

    async def _with_vectors(self, generation: Generation, rows: list[IndexRow]) -> list[IndexRow]:
        read = partial(self.store.vectors, generation, rows[0].tenant, [row.chunk_id for row in rows])
        vectors = await self.guard.call(lambda: asyncio.to_thread(read), Deadline.after(math.inf))
        return [_with(row, vectors[row.chunk_id]) for row in rows if row.chunk_id in vectors]

    async def purge(self, tenant: TenantId, jobs: Sequence[Job]) -> None:
        """Delete the vectors of the versions that purge jobs name; raises what the guard of writes raises."""
        ranges = [VersionRange(document_key(tenant, job.document_id), job.start, job.below) for job in jobs]
        for generation in self.generations.values():
            await self._write(partial(self.store.purge, generation, tenant, ranges))

    def forget_queries(self, scope: str) -> None:
        """Forget what is remembered of a user's questions in this process; elsewhere it grows old within the hour."""
        for embedder in {self.semantic, *self.domains.values()}:
            embedder.forget(scope)
        if self.visual is not None:
            self.visual.forget(scope)

    async def count(self, tenant: TenantId, document_id: str) -> int:
        """Return how many vectors of a document there are, over all collections."""
        key = document_key(tenant, document_id)
        counts = [await asyncio.to_thread(self.store.count, item, tenant, key) for item in self.generations.values()]
        return sum(counts)

    async def _write(self, run: Callable[[], None]) -> None:
        await self.guard.call(lambda: asyncio.to_thread(run), Deadline.after(math.inf))


def index_row(tenant: TenantId, document: DocumentVersion, chunk: Chunk, rights: Rights) -> IndexRow:
    """Return a chunk as the index holds it, without a vector."""
    return IndexRow(
        chunk_id=chunk.chunk_id,
        tenant=tenant,
        document_key=document_key(tenant, document.document_id),
        version=document.version,
        facets=facets(document.declared, document.metadata),
        text=passage(document.title, chunk.headings, chunk.text),
        readers=labels(rights.subjects),
    )


def _parts(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _with(row: IndexRow, vector: Vectors) -> IndexRow:
    return replace(row, vector=vector)
