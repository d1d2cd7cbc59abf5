"""SQL and a collection, compared in order of ids, some at a time; and chunks written so that what SQL says last stays.

Documents come and go meanwhile. What is missing was visible before and after it was looked for, and is looked for twice;
what is too many is wanted by nobody, is in no job's work, and is still there afterwards.
"""

import asyncio
import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from advanced_rag.models.documents import TenantId
from advanced_rag.models.index import CollectionReport, Generation
from advanced_rag.services.index import Index
from advanced_rag.services.layout import Collection, row_of
from advanced_rag.services.pace import FULL_SPEED, Tempo
from advanced_rag.services.sql import Sql
from advanced_rag.storage.ids import document_key
from advanced_rag.storage.inventory import InventoryRepository, Place
from advanced_rag.storage.vectors import MOST_AT_ONCE, StoredPlace

_SPAN = 2000  # chunks compared at once
_BATCH = 256  # chunks written at once
_EVERY_ID = 2**32  # ids are digests: their first eight digits spread them evenly
_LAST = "f" * 64

Span = tuple[int, int]


@dataclass(slots=True)
class _Tally:
    expected: int = 0
    found: int = 0
    missing: int = 0
    orphaned: int = 0


@dataclass(frozen=True, slots=True)
class _Difference:
    expected: int
    found: int
    missing: Sequence[str] = ()
    orphaned: Sequence[str] = ()


class Reconciler:
    """Compares and mends."""

    def __init__(self, database: Sql, index: Index) -> None:
        self._database = database
        self._index = index

    async def check(
        self, tenant: TenantId, collection: Collection, *, repair: bool, tempo: Tempo = FULL_SPEED
    ) -> CollectionReport:
        """Compare what a collection holds of a tenant with what SQL says; raises UnavailableError when a store is silent."""
        tally, generation = _Tally(), collection.generation
        is_there = await asyncio.to_thread(self._index.store.exists, generation)
        if repair and not is_there:
            is_there = await asyncio.to_thread(self._index.store.ensure, generation)
        waiting = deque(_spans(await self._size(tenant, generation, is_there=is_there)))
        while waiting:
            span = waiting.popleft()
            difference = await self._compare(tenant, generation, span, is_there=is_there)
            if difference is None:
                waiting.extendleft(reversed(_halves(span)))
                continue
            tally.expected += difference.expected
            tally.found += difference.found
            tally.missing += len(difference.missing)
            tally.orphaned += len(difference.orphaned)
            if repair:
                await self._mend(tenant, collection, difference, tempo)
            await tempo.rest()
        repaired = tally.missing + tally.orphaned if repair else 0
        return CollectionReport(generation.collection, tally.expected, tally.found, tally.missing, tally.orphaned, repaired)

    async def put(
        self, tenant: TenantId, chunk_ids: Sequence[str], collections: Sequence[Collection], tempo: Tempo = FULL_SPEED
    ) -> None:
        """Write chunks as SQL has them, and again until nothing about them changed while they were written.

        What a purge may have passed by, because the chunk was not there yet, is removed again.
        """
        left = list(chunk_ids)
        while left:
            stocked = await self._database.read(tenant, lambda t: InventoryRepository(t).load(left))  # noqa: B023
            rows = [row_of(tenant, item.document, item.chunk, item.rights) for item in stocked.values()]
            known = await self._index.known(tenant, rows, self._sources(collections))
            await self._index.fill(tenant, rows, collections, known=known, embed=tempo.embed)
            now = await self._database.read(tenant, lambda t: InventoryRepository(t).standings(left))  # noqa: B023
            await self._index.remove(tenant, sorted(stocked.keys() - now.keys()), collections)
            left = [key for key, standing in now.items() if key not in stocked or stocked[key].standing != standing]

    async def _mend(self, tenant: TenantId, collection: Collection, difference: _Difference, tempo: Tempo) -> None:
        await self._index.remove(tenant, difference.orphaned, [collection])
        for start in range(0, len(difference.missing), _BATCH):
            await self.put(tenant, difference.missing[start : start + _BATCH], [collection], tempo)

    async def _size(self, tenant: TenantId, generation: Generation, *, is_there: bool) -> int:
        expected = await self._database.read(tenant, lambda t: InventoryRepository(t).count(generation))
        found = await asyncio.to_thread(self._index.store.size, generation, tenant) if is_there else 0
        return max(expected, found)

    async def _compare(self, tenant: TenantId, generation: Generation, span: Span, *, is_there: bool) -> _Difference | None:
        """Return how a span of ids differs; None when it holds more than can be looked at together."""
        expected = await self._visible(tenant, generation, span)
        if not is_there:
            return _Difference(len(expected), 0, sorted(expected))
        between = self._index.store.between
        rows = await asyncio.to_thread(between, generation, tenant, _edge(span[0]), _edge(span[1]))
        if len(rows) >= MOST_AT_ONCE and span[1] - span[0] > 1:
            return None
        missing = [key for key, place in expected.items() if rows.get(key) != _stored(tenant, place)]
        strange = sorted(rows.keys() - expected.keys())
        if missing:
            missing = await self._really_missing(tenant, generation, span, {key: expected[key] for key in missing})
        if strange:
            strange = await self._really_orphaned(tenant, generation, strange)
        return _Difference(len(expected), len(rows), missing, strange)

    async def _really_missing(
        self, tenant: TenantId, generation: Generation, span: Span, missing: Mapping[str, Place]
    ) -> list[str]:
        after = await self._visible(tenant, generation, span)
        rows = await asyncio.to_thread(self._index.store.places, generation, tenant, sorted(missing))
        return [
            key
            for key, place in sorted(missing.items())
            if after.get(key) == place and rows.get(key) != _stored(tenant, place)
        ]

    async def _really_orphaned(self, tenant: TenantId, generation: Generation, strange: Sequence[str]) -> list[str]:
        wanted = await self._database.read(tenant, lambda t: InventoryRepository(t).standings(strange))
        pending = await self._database.read(tenant, lambda t: InventoryRepository(t).pending())
        work: dict[str, list[range]] = {}
        for place, below in pending:
            work.setdefault(document_key(tenant, place.document_id), []).append(range(place.version, below))
        rows = await asyncio.to_thread(self._index.store.places, generation, tenant, strange)
        return [key for key in strange if key in rows and key not in wanted and not _is_in_work(rows[key], work)]

    async def _visible(self, tenant: TenantId, generation: Generation, span: Span) -> dict[str, Place]:
        start, below = map(_edge, span)
        return await self._database.read(tenant, lambda t: InventoryRepository(t).visible(start, below, generation))

    def _sources(self, targets: Sequence[Collection]) -> list[Collection]:
        """Return the collections from which vectors can be taken over."""
        fingerprints = {item.generation.encoder for item in targets}
        names = {item.generation.collection for item in targets}
        return [
            item
            for item in self._index.layout.collections
            if item.state in {"live", "retired"}
            and item.generation.encoder in fingerprints
            and item.generation.collection not in names
        ]


def _spans(count: int) -> Iterator[Span]:
    parts = max(1, math.ceil(count / _SPAN))
    for n in range(parts):
        yield n * _EVERY_ID // parts, (n + 1) * _EVERY_ID // parts


def _halves(span: Span) -> list[Span]:
    middle = sum(span) // 2
    return [(span[0], middle), (middle, span[1])]


def _edge(position: int) -> str:
    return f"{position:08x}" if position < _EVERY_ID else _LAST


def _stored(tenant: TenantId, place: Place) -> StoredPlace:
    return document_key(tenant, place.document_id), place.version


def _is_in_work(stored: StoredPlace, work: Mapping[str, Sequence[range]]) -> bool:
    key, version = stored
    return any(version in versions for versions in work.get(key, ()))
