"""One run of reindexing: generations are built beside the live ones, brought to agree with SQL, compared, and switched.

    preparing → building → reconciling → (evaluating) → switching → (verifying) → ended

Whoever writes meanwhile writes to both, so only what was there before has to be copied. Each step is noted in SQL before the
next begins, and whoever takes a run over goes on from there.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from advanced_rag.config import ReindexSettings
from advanced_rag.exceptions import JobLostError, ReindexError, WorseIndexError
from advanced_rag.models.index import Generation
from advanced_rag.models.reindex import Progress, ReindexRun, RunPhase
from advanced_rag.services.evaluate import Evaluator
from advanced_rag.services.generations import Generations
from advanced_rag.services.index import FRESH_S
from advanced_rag.services.layout import Collection
from advanced_rag.services.pace import Pace
from advanced_rag.services.reconcile import Reconciler
from advanced_rag.services.sql import Sql
from advanced_rag.services.tenants import TenantService
from advanced_rag.storage.database import Transaction
from advanced_rag.storage.generations import GenerationRepository
from advanced_rag.storage.inventory import InventoryRepository
from advanced_rag.storage.reindexes import ReindexRepository
from advanced_rag.telemetry import metrics
from advanced_rag.telemetry.logs import get_logger

UNTIL_FOLLOWED_S = FRESH_S + 0.5  # from then on whoever writes knows of a new generation
_ROUNDS = 6
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Tools:
    """What a run works with."""

    database: Sql
    generations: Generations
    reconciler: Reconciler
    evaluator: Evaluator
    tenants: TenantService
    pace: Pace
    settings: ReindexSettings
    owner: str


class Rebuild:
    """Brings one run to its end, or on from where it was left."""

    def __init__(self, tools: Tools, run: ReindexRun) -> None:
        self._tools = tools
        self._index = tools.generations.index
        self._run = run
        self._progress = run.progress
        self.result: dict[str, Any] = dict(run.result)

    async def perform(self) -> None:
        """Do what is left of the run; ``result`` tells what came out.

        Raises JobLostError when it is no longer ours, ReindexError, WorseIndexError, or what the stores raise.
        """
        built = await self._prepare() if self._run.phase != "verifying" else None
        self._tools.pace.begin()
        if built is not None:
            await self._build(built)
            await self._reconcile(built)
            if self._run.options.evaluation is not None and built:
                await self._evaluate(built)
            await self._switch(built)
        if self._run.options.verify:
            await self._verify()

    async def _prepare(self) -> list[Collection]:
        """Find the collections that are being filled, or make them."""
        await self._note("preparing")
        generations = self._tools.generations
        await generations.follow()
        kinds = generations.outdated if self._run.options.kinds is None else self._run.options.kinds
        if unknown := set(kinds) - generations.wanted.keys():
            raise ReindexError(f"the settings here know no {sorted(unknown)[0]} index any more")
        found = {
            item.generation.kind: item.generation for item in self._index.layout.collections if item.state == "building"
        }
        stale = [item for kind, item in found.items() if kind in kinds and item.encoder != generations.wanted[kind].encoder]
        made = [await self._make(kind) for kind in kinds if kind not in found or found[kind] in stale]
        if made:
            names = (*self._progress.collections, *(item.collection for item in made))
            self._progress = Progress(names, total=await self._count())
            await self._tools.database.write_across(lambda t: self._add(t, made, stale))
        if made or found:
            await asyncio.sleep(UNTIL_FOLLOWED_S)
        await generations.follow()
        return [
            item for item in self._index.layout.collections if item.state == "building" and item.generation.kind in kinds
        ]

    async def _make(self, kind: str) -> Generation:
        """Make an empty collection."""
        tools, store = self._tools, self._index.store
        number = await tools.database.read_across(lambda t: GenerationRepository(t).next_number(kind))
        generation = replace(tools.generations.wanted[kind], number=number)
        if await asyncio.to_thread(store.exists, generation):
            await asyncio.to_thread(store.drop, generation)  # left by somebody who came no further
        await asyncio.to_thread(store.ensure, generation)
        return generation

    def _add(self, transaction: Transaction, made: Sequence[Generation], stale: Sequence[Generation]) -> None:
        """Say that collections are being filled, from the start, some in the place of others."""
        GenerationRepository(transaction).give_up(stale)
        for generation in made:
            GenerationRepository(transaction).add_building(generation)
        self._advance(transaction, "preparing")

    async def _build(self, built: Sequence[Collection]) -> None:
        """Write every chunk there is into the collections of this run."""
        own = [item for item in built if item.generation.collection in self._progress.collections]
        if not own:
            return
        await self._note("building")
        for tenant in sorted(item.id for item in await self._tools.tenants.all()):
            if tenant < self._progress.tenant:
                continue
            if tenant > self._progress.tenant:
                self._progress = replace(self._progress, tenant=tenant, chunk_id="")
            while await self._build_page(own):
                await self._note("building")

    async def _build_page(self, own: Sequence[Collection]) -> bool:
        tools, progress = self._tools, self._progress
        limit = self._run.options.batch_size or tools.settings.batch_size
        page = await tools.database.read(progress.tenant, lambda t: InventoryRepository(t).page(progress.chunk_id, limit))
        if not page:
            return False
        await tools.reconciler.put(progress.tenant, page, own, tools.pace)
        await tools.pace.rest()
        self._progress = replace(progress, chunk_id=page[-1], done=progress.done + len(page))
        metrics.REINDEXED.inc(len(page))
        metrics.REINDEX_PROGRESS.set(min(self._progress.done / max(self._progress.total, 1), 1.0))
        return True

    async def _reconcile(self, built: Sequence[Collection]) -> None:
        """Compare and mend until nothing is left to mend: what was built, and what is live and was not built anew."""
        await self._note("reconciling")
        kinds = {item.generation.kind for item in built}
        kept = [item for kind, item in self._index.layout.live.items() if kind not in kinds and item.is_usable]
        for collection in (*built, *(kept if self._run.options.kinds is None else ())):
            await self._mend(collection)

    async def _mend(self, collection: Collection) -> None:
        for _ in range(_ROUNDS):
            count = 0
            for tenant in await self._tools.tenants.all():
                report = await self._tools.reconciler.check(tenant.id, collection, repair=True, tempo=self._tools.pace)
                count += report.repaired
                await self._note("reconciling")
            mended = self.result.setdefault("mended", {})
            mended[collection.generation.kind] = mended.get(collection.generation.kind, 0) + count
            if not count:
                return
        raise ReindexError(f"{collection.generation.collection} does not come to agree with the database")

    async def _evaluate(self, built: Sequence[Collection]) -> None:
        wanted = self._run.options.evaluation
        if wanted is None:
            return
        await self._note("evaluating")
        live = {kind: item for kind, item in self._index.layout.live.items() if item.is_usable}
        named = {item.generation.kind: item for item in built}
        tools = self._tools
        compared = await tools.evaluator.compare(self._run.options.tenant, wanted, live, named, tools.pace)
        self.result["evaluation"] = asdict(compared)
        loss = compared.loss()
        if loss > tools.settings.tolerance and not self._run.options.force:
            raise WorseIndexError(f"nDCG@10 would fall by {loss:.3f}")

    async def _switch(self, built: Sequence[Collection]) -> None:
        """Let what was built be searched, and keep what it replaces, in one transaction."""
        generations = [item.generation for item in built]

        def switch(transaction: Transaction) -> None:
            self._advance(transaction, "verifying")
            GenerationRepository(transaction).switch(generations)

        await self._note("switching")
        await self._tools.database.write_across(switch)
        await self._tools.generations.follow()
        self.result["switched"] = {item.kind: item.collection for item in generations}
        if generations:
            _log.info("index_switched", collections=[item.collection for item in generations])

    async def _verify(self) -> None:
        await self._tools.generations.follow()
        differing: dict[str, int] = {}
        for collection in self._index.layout.live.values():
            for tenant in await self._tools.tenants.all():
                report = await self._tools.reconciler.check(tenant.id, collection, repair=False, tempo=self._tools.pace)
                name = report.collection
                differing[name] = differing.get(name, 0) + report.missing + report.orphaned
        self.result["verified"] = differing

    async def _count(self) -> int:
        counts = [
            await self._tools.database.read(tenant.id, lambda t: InventoryRepository(t).size())
            for tenant in await self._tools.tenants.all()
        ]
        return sum(counts)

    async def _note(self, phase: RunPhase) -> None:
        await self._tools.database.write_across(lambda t: self._advance(t, phase))

    def _advance(self, transaction: Transaction, phase: RunPhase) -> None:
        """Write down how far the run has come; raises JobLostError when it is no longer ours."""
        if not ReindexRepository(transaction, self._tools.owner).advance(self._run.id, phase, self._progress, self.result):
            raise JobLostError("the run was cancelled, or went to another worker")
