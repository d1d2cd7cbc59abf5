"""Reindexing as operators see it: planned, begun, watched, cancelled, gone back on; and worked on in the background."""

import asyncio
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta

from advanced_rag.exceptions import (
    ConflictError,
    EncoderError,
    InvalidRequestError,
    JobLostError,
    OverloadedError,
    RagError,
    UnavailableError,
    VectorStoreRefusedError,
    WorseIndexError,
)
from advanced_rag.models.index import Generation, StoredGeneration
from advanced_rag.models.reindex import Action, KindPlan, ReindexOptions, ReindexRun, RunState
from advanced_rag.services.layout import Collection
from advanced_rag.services.rebuild import Rebuild, Tools
from advanced_rag.storage.database import Transaction
from advanced_rag.storage.generations import GenerationRepository
from advanced_rag.storage.reindexes import ReindexRepository
from advanced_rag.telemetry.logs import get_logger

ALL = "all"
_EVERY_S = 1.0
_SWEEP_EVERY_S = 60.0
UNUSED = timedelta(minutes=2)  # longer than the slowest write that began while a collection was still in use
_OUTAGE_DELAY_S = 5.0
_OUTAGES = (UnavailableError, OverloadedError)
_NO_OUTAGES = (EncoderError, VectorStoreRefusedError)  # they will answer the same another time
_log = get_logger(__name__)


class ReindexService:
    """Builds the index anew while it is searched, one run at a time in all of the installation."""

    def __init__(self, tools: Tools, *, lease_s: float) -> None:
        self._tools = tools
        self._database = tools.database
        self._index = tools.generations.index
        self._lease_s = lease_s
        self._news = asyncio.Event()
        self._swept_at = -_SWEEP_EVERY_S

    async def generations(self) -> list[StoredGeneration]:
        """Return every generation there is."""
        return await self._database.read_across(lambda t: GenerationRepository(t).all())

    async def plan(self, kinds: Sequence[str] | None) -> list[KindPlan]:
        """Tell what a run would do, and change nothing; raises InvalidRequestError for a kind there is none of."""
        chosen = self._chosen(kinds)
        await self._tools.generations.follow()
        wanted = self._tools.generations.wanted if chosen is None else chosen
        return [await self._plan(kind, is_named=chosen is not None) for kind in wanted]

    async def start(self, options: ReindexOptions) -> ReindexRun:
        """Begin a run, or return the one that is running if it was asked for the same: a command cut off is given again.

        Raises InvalidRequestError for a kind there is none of, ConflictError while another one is running.
        """
        kinds, run_id = self._chosen(options.kinds), str(uuid.uuid4())
        wanted = ReindexOptions(kinds, options.batch_size, options.verify, options.force, options.tenant, options.evaluation)
        try:
            await self._database.write_across(lambda t: ReindexRepository(t).add(run_id, wanted))
        except ConflictError:
            running = await self.latest()
            if running is None or (running.state, running.options) != ("running", wanted):
                raise ConflictError("the index is being built anew already") from None
            return running
        self._news.set()
        return await self._database.read_across(lambda t: ReindexRepository(t).get(run_id))

    async def latest(self) -> ReindexRun | None:
        """Return the run that is running, or the last one."""
        return await self._database.read_across(lambda t: ReindexRepository(t).latest())

    async def cancel(self) -> None:
        """Stop the run, and give up what was built; also what an earlier run left unswitched.

        Raises ConflictError when there is nothing to give up.
        """

        def cancel(transaction: Transaction) -> bool:
            was_running = ReindexRepository(transaction).cancel() is not None  # who switches just now goes first
            return GenerationRepository(transaction).give_up_building() or was_running

        if not await self._database.write_across(cancel):
            raise ConflictError("the index is not being built anew")
        await self._tools.generations.follow()

    async def rollback(self, kinds: Sequence[str] | None) -> dict[str, str]:
        """Let what was replaced last be searched again; returns the collections that are live now, by kind.

        Raises InvalidRequestError for a kind there is none of, ConflictError when there is nothing to go back to, or a run.
        """
        chosen = self._chosen(kinds) or tuple(self._tools.generations.wanted)
        await self._refuse_while_running()
        await self._tools.generations.follow()
        retired = [item for item in self._index.layout.collections if item.state == "retired" and item.is_usable]
        back = [item for item in retired if item.generation.kind in chosen]
        if not back:
            raise ConflictError("there is no generation to go back to")
        await self._settle(back)
        generations = [item.generation for item in back]
        await self._database.write_across(lambda t: GenerationRepository(t).go_back(generations))
        await self._tools.generations.follow()
        live = {generation.kind: generation.collection for generation in generations}
        _log.info("index_rolled_back", collections=list(live.values()))
        return live

    async def run(self) -> None:
        """Work on runs until cancelled; what is in work then is left to whoever comes next."""
        try:
            while True:
                try:
                    await self._turn()
                except RagError as error:
                    _log.warning("reindex_postponed", code=error.code)
                except Exception as error:  # noqa: BLE001 - the outermost loop: one fault must not end all background work
                    _log.error("unexpected_error", error_type=type(error).__name__, exc_info=error)
                self._news.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._news.wait(), _EVERY_S)
        finally:
            with suppress(RagError):
                await self._database.write_across(lambda t: ReindexRepository(t, self._tools.owner).release())

    async def sweep(self) -> None:
        """Drop the collections that nobody uses any more."""
        kept = timedelta(hours=self._tools.settings.keep_retired_hours)

        def claim(transaction: Transaction) -> list[Generation]:
            GenerationRepository(transaction).give_up_retired(kept)
            return GenerationRepository(transaction).claim_unused(UNUSED)

        for generation in await self._database.write_across(claim):
            if await asyncio.to_thread(self._index.store.exists, generation):
                await asyncio.to_thread(self._index.store.drop, generation)
            await self._database.write_across(lambda t, gone=generation: GenerationRepository(t).forget(gone))  # type: ignore[misc]
            _log.info("collection_dropped", collection=generation.collection)

    async def release_all(self) -> None:
        """Take over the run of a process that is known to be gone."""
        await self._database.write_across(lambda t: ReindexRepository(t).release(everybody=True))

    async def _turn(self) -> None:
        if time.monotonic() - self._swept_at >= _SWEEP_EVERY_S:
            self._swept_at = time.monotonic()
            await self.sweep()
        if not await self._database.read_across(lambda t: ReindexRepository(t).is_waiting()):
            return
        run = await self._database.write_across(lambda t: ReindexRepository(t, self._tools.owner).claim(self._lease_s))
        if run is not None:
            await self._hold(run)

    async def _hold(self, run: ReindexRun) -> None:
        """Work on a run while it is ours."""
        work = asyncio.create_task(self._work(run))
        try:
            while not work.done():
                await asyncio.wait([work], timeout=min(_EVERY_S, self._lease_s / 4))
                with suppress(RagError):
                    if not work.done() and not await self._renew(run):
                        work.cancel()
        finally:
            work.cancel()
            (outcome,) = await asyncio.gather(work, return_exceptions=True)
        if isinstance(outcome, Exception):
            raise outcome

    async def _renew(self, run: ReindexRun) -> bool:
        return await self._database.write_across(
            lambda t: ReindexRepository(t, self._tools.owner).renew(run.id, self._lease_s)
        )

    async def _work(self, run: ReindexRun) -> None:
        rebuild = Rebuild(self._tools, run)
        _log.info("reindex_begun", run_id=run.id, phase=run.phase)
        try:
            await rebuild.perform()
        except JobLostError:
            _log.info("reindex_lost", run_id=run.id)
        except WorseIndexError as error:
            await self._end(run, "failed", rebuild, error)
        except RagError as error:
            if isinstance(error, _OUTAGES) and not isinstance(error, _NO_OUTAGES):
                _log.warning("reindex_postponed", code=error.code)
                await asyncio.sleep(_OUTAGE_DELAY_S)
                await self._database.write_across(lambda t: ReindexRepository(t, self._tools.owner).release())
            else:
                await self._end(run, "failed", rebuild, error, is_kept=False)
        except Exception as error:  # noqa: BLE001 - a fault ends the run, instead of being met again and again
            _log.error("unexpected_error", error_type=type(error).__name__, exc_info=error)
            told = RagError("an unexpected error; the log of the service has more")
            await self._end(run, "failed", rebuild, told, is_kept=False)
        else:
            await self._end(run, "done", rebuild)
        finally:
            self._tools.pace.end()

    async def _end(
        self, run: ReindexRun, state: RunState, rebuild: Rebuild, error: RagError | None = None, *, is_kept: bool = True
    ) -> None:
        """End a run that is still ours; what was built and not switched is given up unless it ``is_kept``."""
        told = (error.code, error.message) if error else None

        def end(transaction: Transaction) -> None:
            is_mine = ReindexRepository(transaction, self._tools.owner).end(run, state, rebuild.result, told)
            if is_mine and not is_kept:
                GenerationRepository(transaction).give_up_building()

        await self._database.write_across(end)
        _log.info("reindex_ended", run_id=run.id, state=state, code=error.code if error else None)

    async def _settle(self, collections: Sequence[Collection]) -> None:
        for collection in collections:
            for tenant in await self._tools.tenants.all():
                await self._tools.reconciler.check(tenant.id, collection, repair=True)

    async def _refuse_while_running(self) -> None:
        run = await self.latest()
        if run is not None and run.state == "running":
            raise ConflictError("the index is being built anew: cancel that first")

    async def _plan(self, kind: str, *, is_named: bool) -> KindPlan:
        live = self._index.layout.live[kind]
        builds = is_named or kind in self._tools.generations.outdated
        chunks = missing = orphaned = 0
        for tenant in await self._tools.tenants.all():
            report = await self._tools.reconciler.check(tenant.id, live, repair=False)
            chunks += report.expected
            missing += report.missing
            orphaned += report.orphaned
        action: Action = "build" if builds else "mend" if missing or orphaned else "nothing"
        return KindPlan(kind, live.generation.collection, action, chunks, missing, orphaned)

    def _chosen(self, kinds: Sequence[str] | None) -> tuple[str, ...] | None:
        known = self._tools.generations.wanted
        if kinds is not None and ALL in kinds:
            return tuple(known)
        if unknown := set(kinds or ()) - known.keys():
            message = f"no kind of the index: {sorted(unknown)[0]}; there are {', '.join(known)}, and {ALL}"
            raise InvalidRequestError.at("kinds", message, "unknown_kind")
        return None if kinds is None else tuple(dict.fromkeys(kinds))
