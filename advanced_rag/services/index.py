"""The index as the services see it: what is written to the collections in use, and what is purged from them.

Who reads takes the collections from the layout once, and goes on with those. Who writes takes a layout that is a moment old
at most, and writes to all of them: what is searched, what is being built, and what may be gone back to.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

from advanced_rag.exceptions import EncoderMissingError
from advanced_rag.models.documents import Chunk, DocumentVersion, TenantId
from advanced_rag.models.index import SEMANTIC, VISUAL, Generation, domain_kind
from advanced_rag.models.jobs import Job
from advanced_rag.models.rights import Rights
from advanced_rag.ranking.maxsim import pool, unpack
from advanced_rag.resilience.deadline import Deadline
from advanced_rag.resilience.guard import Guard
from advanced_rag.services.embedding import Embedder
from advanced_rag.services.layout import Collection, Layout, Row, row_of
from advanced_rag.services.sql import Sql
from advanced_rag.services.visual import VisualEmbedder
from advanced_rag.storage.collections import IndexRow, Vectors
from advanced_rag.storage.ids import document_key
from advanced_rag.storage.pages import PageRepository
from advanced_rag.storage.vectors import VectorStore, VersionRange

FRESH_S = 2.0  # how old a layout may be that somebody writes by
_RELABELLED_AT_ONCE = 256
_PAGES_AT_ONCE = 16  # a page has a hundred kilobytes of vectors or more
_IDS_AT_ONCE = 500

Known = Mapping[str, Mapping[str, Vectors]]  # vectors of chunks, by the fingerprint of their encoder
Embed = Callable[[Embedder, Sequence[str]], Awaitable[Vectors]]


class Index:
    """Writes the collections in use; ``follow`` finds out which those are now."""

    def __init__(
        self,
        store: VectorStore,
        guard: Guard,
        database: Sql,
        visual: VisualEmbedder | None,
        follow: Callable[[], Awaitable[None]],
    ) -> None:
        self.store = store
        self.guard = guard
        self.visual = visual
        self.layout = Layout(())
        self._database = database
        self._follow = follow

    @property
    def generations(self) -> dict[str, Generation]:
        """The generation of each kind that is searched now."""
        return {kind: item.generation for kind, item in self.layout.live.items()}

    @property
    def semantic(self) -> Embedder:
        """What encodes for the semantic collection; raises EncoderMissingError."""
        return self.layout.embedder(SEMANTIC)

    @property
    def domains(self) -> dict[str, Embedder]:
        """What encodes for the collection of each domain; raises EncoderMissingError."""
        layout = self.layout
        return {domain: layout.embedder(domain_kind(domain)) for domain in layout.domains()}

    async def add(
        self,
        tenant: TenantId,
        items: Sequence[tuple[DocumentVersion, Sequence[Chunk]]],
        rights: Mapping[str, Rights],
    ) -> None:
        """Embed chunks and write them everywhere, with the rights of each document; doing it again writes the same.

        A chunk without text stands for a page, and is with the pages alone. Raises EncoderError, EncoderMissingError,
        OverloadedError, or what the guards of writes and of the database raise.
        """
        rows = [
            row_of(tenant, document, chunk, rights[document.document_id]) for document, pieces in items for chunk in pieces
        ]
        await self.fill(tenant, rows, await self._written())

    async def fill(
        self,
        tenant: TenantId,
        rows: Sequence[Row],
        collections: Sequence[Collection],
        *,
        known: Known | None = None,
        embed: Embed = lambda embedder, texts: embedder.passages(texts),
    ) -> None:
        """Write rows to some collections, each where it belongs; what is not ``known`` of their vectors is embedded."""
        vectors = {fingerprint: dict(found) for fingerprint, found in (known or {}).items()}
        writes: list[tuple[Generation, list[IndexRow]]] = []
        for collection in collections:
            part = [row.content for row in rows if collection.holds(row)]
            if collection.generation.kind == VISUAL:
                await self._fill_pages(tenant, collection.generation, part)
                continue
            if collection.is_embedded:
                part = await _embedded(collection, part, vectors, embed)
            if part:
                writes.append((collection.generation, part))
        await asyncio.gather(*(self._write(partial(self.store.upsert, *write)) for write in writes))

    async def _fill_pages(self, tenant: TenantId, generation: Generation, rows: Sequence[IndexRow]) -> None:
        """Write the pages there are vectors of in SQL, one pooled vector each; no encoder is needed for it."""
        found = {row.chunk_id: row for row in rows}
        seen = await self._seen(tenant, list(found), generation.encoder)
        for part in _parts(seen, _PAGES_AT_ONCE):
            pooled = await self._pooled(tenant, part, generation.encoder)
            pages = [replace(found[chunk_id], vector=vector) for chunk_id, vector in pooled.items()]
            await self._write(partial(self.store.upsert, generation, pages))

    async def _seen(self, tenant: TenantId, chunk_ids: Sequence[str], encoder: str) -> list[str]:
        seen: list[str] = []
        for part in _parts(chunk_ids, _IDS_AT_ONCE):
            seen += await self._database.read(tenant, lambda t, part=part: PageRepository(t).seen(part, encoder))  # type: ignore[misc]
        return seen

    async def _pooled(self, tenant: TenantId, chunk_ids: Sequence[str], encoder: str) -> dict[str, Vectors]:
        packed = await self._database.read(tenant, lambda t: PageRepository(t).packed(chunk_ids, encoder))
        return await asyncio.to_thread(lambda: {chunk_id: pool(unpack(vectors)) for chunk_id, vectors in packed.items()})

    async def relabel(self, tenant: TenantId, document: DocumentVersion, chunks: Sequence[Chunk], rights: Rights) -> None:
        """Write anew what chunks are filtered by, with the vectors that are there; only what has none is embedded.

        Raises what ``add`` raises.
        """
        collections = await self._written()
        for start in range(0, len(chunks), _RELABELLED_AT_ONCE):
            part = chunks[start : start + _RELABELLED_AT_ONCE]
            rows = [row_of(tenant, document, chunk, rights) for chunk in part]
            known = await self.known(tenant, rows, collections)
            await self.fill(tenant, rows, [item for item in collections if item.state != "building"], known=known)
            for item in (item for item in collections if item.state == "building"):
                # What is not there yet is written by whoever builds it, as it is by then.
                there = known.get(item.generation.encoder, {})
                kept = [row for row in rows if not item.is_embedded or row.content.chunk_id in there]
                await self.fill(tenant, kept, [item], known=known)

    async def known(self, tenant: TenantId, rows: Sequence[Row], collections: Sequence[Collection]) -> Known:
        """Return the vectors that some collections hold of rows, by the fingerprint of their encoder."""
        found: dict[str, dict[str, Vectors]] = {}
        for item in sorted(collections, key=lambda item: item.generation.domain is not None):
            if item.is_embedded:
                have = found.setdefault(item.generation.encoder, {})
                wanted = [row.content.chunk_id for row in rows if item.holds(row) and row.content.chunk_id not in have]
                if wanted:
                    read = partial(self.store.vectors, item.generation, tenant, wanted)
                    have.update(await self.guard.call(partial(asyncio.to_thread, read), Deadline.after(math.inf)))
        return found

    async def purge(self, tenant: TenantId, jobs: Sequence[Job]) -> None:
        """Delete the vectors of the versions that purge jobs name, wherever some may be; raises what the guard raises."""
        ranges = [VersionRange(document_key(tenant, job.document_id), job.start, job.below) for job in jobs]
        await self._fresh()
        for generation in await self._there():
            await self._write(partial(self.store.purge, generation, tenant, ranges))

    async def remove(self, tenant: TenantId, chunk_ids: Sequence[str], collections: Sequence[Collection]) -> None:
        """Delete chunks from some collections; raises what the guard of writes raises."""
        for collection in collections if chunk_ids else ():
            await self._write(partial(self.store.delete, collection.generation, tenant, chunk_ids))

    def forget_queries(self, scope: str) -> None:
        """Forget what is remembered of a user's questions in this process; elsewhere it grows old within the hour."""
        for embedder in {item.embedder for item in self.layout.collections if item.embedder is not None}:
            embedder.forget(scope)
        if self.visual is not None:
            self.visual.forget(scope)

    async def count(self, tenant: TenantId, document_id: str) -> int:
        """Return how many vectors of a document there are, over all collections."""
        key = document_key(tenant, document_id)
        return sum([await asyncio.to_thread(self.store.count, item, tenant, key) for item in await self._there()])

    async def _there(self) -> list[Generation]:
        """Return every collection that may hold something: those in use, and what is left of others."""
        layout = self.layout
        left = [item for item in layout.left if await asyncio.to_thread(self.store.load, item)]
        return [*(item.generation for item in layout.collections), *left]

    async def _written(self) -> list[Collection]:
        """Return what is written to; raises EncoderMissingError where that cannot be done here."""
        await self._fresh()
        missing = [item.generation for item in self.layout.collections if not item.is_usable]
        if missing:
            raise EncoderMissingError(f"the encoder of {missing[0].collection} is not to be had here")
        return list(self.layout.collections)

    async def _fresh(self) -> None:
        if time.monotonic() - self.layout.seen_at > FRESH_S:
            await self._follow()

    async def _write(self, run: Callable[[], None]) -> None:
        await self.guard.call(lambda: asyncio.to_thread(run), Deadline.after(math.inf))


async def _embedded(
    collection: Collection, rows: Sequence[IndexRow], vectors: dict[str, dict[str, Vectors]], embed: Embed
) -> list[IndexRow]:
    """Return rows with their vectors, computing those that are not known yet."""
    found = vectors.setdefault(collection.generation.encoder, {})
    unknown = [row for row in rows if row.chunk_id not in found]
    if unknown:
        if collection.embedder is None:
            raise EncoderMissingError(f"the encoder of {collection.generation.collection} is not to be had here")
        computed = await embed(collection.embedder, [row.text for row in unknown])
        found.update(zip((row.chunk_id for row in unknown), computed, strict=True))
    return [replace(row, vector=found[row.chunk_id]) for row in rows]


def _parts(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (items[start : start + size] for start in range(0, len(items), size))
