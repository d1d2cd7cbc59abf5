"""The index as the services see it: the collections in use, what is written to them, what is purged from them.

Which collections there are changes while the service runs (services/generations.py). Who reads takes them from the layout
once, and goes on with those. Who writes takes a layout that is a moment old at most, and writes to all of them: the one that
is searched, the one that is being built, and the one that may be gone back to.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from advanced_rag.exceptions import EncoderMissingError
from advanced_rag.models.documents import Chunk, DocumentVersion, TenantId
from advanced_rag.models.index import SEMANTIC, SPARSE, Generation, GenerationState, domain_kind, domain_of
from advanced_rag.models.jobs import Job
from advanced_rag.models.rights import Rights
from advanced_rag.resilience.deadline import Deadline
from advanced_rag.resilience.guard import Guard
from advanced_rag.services.embedding import Embedder
from advanced_rag.storage.collections import IndexRow, Vectors
from advanced_rag.storage.filters import facets, labels
from advanced_rag.storage.ids import document_key
from advanced_rag.storage.vectors import VectorStore, VersionRange
from advanced_rag.text.chunk import passage

FRESH_S = 2.0  # how old a layout may be that somebody writes by
Item = tuple[DocumentVersion, Sequence[Chunk]]
Embed = Callable[[Embedder, Sequence[str]], Awaitable[Vectors]]


@dataclass(frozen=True, slots=True)
class Collection:
    """A collection in use, and what encodes for it: nothing does for BM25, nor where its encoder is missing."""

    generation: Generation
    state: GenerationState
    embedder: Embedder | None

    @property
    def is_usable(self) -> bool:
        """Whether it can be searched and written to here."""
        return self.embedder is not None or self.generation.kind == SPARSE

    def holds(self, domain: str | None) -> bool:
        """Tell whether the chunks of a document that names a domain belong in it."""
        own = domain_of(self.generation.kind)
        return own is None or own == domain


@dataclass(frozen=True, slots=True)
class Row:
    """A chunk as the index holds it, without a vector, and the domain its document names."""

    domain: str | None
    content: IndexRow


@dataclass(frozen=True, slots=True)
class Layout:
    """Every collection in use, as of a moment (monotonic seconds); ``live`` are those that are searched, by their kind."""

    collections: tuple[Collection, ...]
    seen_at: float = -math.inf
    live: Mapping[str, Collection] = field(init=False)

    def __post_init__(self) -> None:
        # Where the live one cannot be searched here, the one it replaced still can.
        order: dict[GenerationState, int] = {"live": 0, "retired": 1}
        searched: dict[str, Collection] = {}
        for item in sorted((item for item in self.collections if item.state in order), key=lambda item: order[item.state]):
            known = searched.get(item.generation.kind)
            if known is None or (item.is_usable and not known.is_usable):
                searched[item.generation.kind] = item
        object.__setattr__(self, "live", searched)

    def embedder(self, kind: str) -> Embedder:
        """Return what encodes for the collection of a kind that is searched; raises EncoderMissingError."""
        found = self.live[kind].embedder
        if found is None:
            raise EncoderMissingError(f"the encoder of the {kind} index is not to be had here")
        return found

    def domains(self) -> list[str]:
        """Return the domains that can be searched."""
        return [domain for kind in self.live if (domain := domain_of(kind)) is not None]


class Index:
    """Reads and writes the collections in use; ``follow`` finds out which those are now."""

    def __init__(self, store: VectorStore, guard: Guard, follow: Callable[[], Awaitable[None]]) -> None:
        self.store = store
        self.guard = guard
        self.layout = Layout(())
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

    async def add(self, tenant: TenantId, items: Sequence[Item], rights: Mapping[str, Rights]) -> None:
        """Embed chunks and write them everywhere, with the rights of each document; doing it again writes the same.

        Raises EncoderError, EncoderMissingError, OverloadedError, or what the guard of writes raises.
        """
        rows = [
            Row(document.domain, index_row(tenant, document, chunk, rights[document.document_id]))
            for document, pieces in items
            for chunk in pieces
        ]
        await self.fill(rows, await self._written())

    async def fill(
        self,
        rows: Sequence[Row],
        collections: Sequence[Collection],
        *,
        known: Mapping[str, Mapping[str, Vectors]] | None = None,
        embed: Embed = Embedder.passages,
    ) -> None:
        """Embed rows and write them to some collections, each where it belongs.

        ``known`` are vectors that need not be computed, by fingerprint and chunk.
        """
        vectors = {fingerprint: dict(found) for fingerprint, found in (known or {}).items()}
        writes: list[tuple[Generation, list[IndexRow]]] = []
        for collection in collections:
            part = [row.content for row in rows if collection.holds(row.domain)]
            if collection.generation.kind != SPARSE:
                part = await _embedded(collection, part, vectors, embed)
            if part:
                writes.append((collection.generation, part))
        await asyncio.gather(*(self._write(partial(self.store.upsert, *write)) for write in writes))

    async def purge(self, tenant: TenantId, jobs: Sequence[Job]) -> None:
        """Delete the vectors of the versions that purge jobs name; raises what the guard of writes raises."""
        ranges = [VersionRange(document_key(tenant, job.document_id), job.start, job.below) for job in jobs]
        await self._fresh()
        for collection in self.layout.collections:
            await self._write(partial(self.store.purge, collection.generation, tenant, ranges))

    async def remove(self, tenant: TenantId, chunk_ids: Sequence[str], collections: Sequence[Collection]) -> None:
        """Delete chunks from some collections; raises what the guard of writes raises."""
        for collection in collections if chunk_ids else ():
            await self._write(partial(self.store.delete, collection.generation, tenant, chunk_ids))

    def forget_queries(self, scope: str) -> None:
        """Forget what is remembered of a user's questions in this process; elsewhere it grows old within the hour."""
        for embedder in {item.embedder for item in self.layout.collections if item.embedder is not None}:
            embedder.forget(scope)

    async def count(self, tenant: TenantId, document_id: str) -> int:
        """Return how many vectors of a document there are, over all collections."""
        key = document_key(tenant, document_id)
        generations = [item.generation for item in self.layout.collections]
        return sum([await asyncio.to_thread(self.store.count, item, tenant, key) for item in generations])

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
