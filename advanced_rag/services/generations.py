"""The generations of the index while the service runs: found in SQL again and again, each with the encoder that fills it.

Encoders are known by their fingerprint. One that is live, building or kept for a rollback is loaded by the name it was built
under, whatever the settings name by now.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

from advanced_rag.exceptions import ConflictError, RagError, StartupError, VectorStoreRefusedError
from advanced_rag.models.index import SPARSE, VISUAL, Generation
from advanced_rag.resilience.guard import Guard
from advanced_rag.services.embedding import Embedder
from advanced_rag.services.index import Index
from advanced_rag.services.layout import Collection, Layout
from advanced_rag.services.sql import Sql
from advanced_rag.services.visual import VisualEmbedder
from advanced_rag.storage.generations import GenerationRepository
from advanced_rag.storage.vectors import VectorStore
from advanced_rag.telemetry.logs import get_logger

_EVERY_S = 1.0
_TRY_AGAIN_S = 60.0
_log = get_logger(__name__)

LoadEmbedder = Callable[[str], Awaitable[Embedder]]


class Generations:
    """Keeps the layout of the index up to date.

    ``wanted`` are generations as the settings would build them now, ``embedders`` what encodes for those, by fingerprint.
    """

    def __init__(
        self,
        database: Sql,
        store: VectorStore,
        guard: Guard,
        visual: VisualEmbedder | None,
        wanted: Mapping[str, Generation],
        embedders: Mapping[str, Embedder],
        load: LoadEmbedder,
    ) -> None:
        self.index = Index(store, guard, database, visual, self.follow)
        self.wanted = wanted
        self._database = database
        self._store = store
        self._load = load
        self._embedders = dict(embedders)
        self._failed: dict[str, float] = {}
        self._turn = asyncio.Lock()

    @property
    def outdated(self) -> list[str]:
        """The kinds whose live generation is not what the settings would build."""
        live = {item.generation.kind: item.generation for item in self.index.layout.collections if item.state == "live"}
        return [kind for kind, wanted in self.wanted.items() if kind in live and live[kind].encoder != wanted.encoder]

    async def open(self, *, reindexing: bool) -> bool:
        """Find or make the live generations and their collections; returns whether a collection had to be made.

        Raises StartupError when what is live cannot be searched here, unless it is about to be replaced.
        """
        await self._make_live()
        await self.follow()
        await self._give_up_unusable()
        if VISUAL in self.outdated:
            raise StartupError("visual.model: the visual index was built with another model: set it back")
        for kind in self.wanted:
            if not self.index.layout.live[kind].is_usable and not reindexing:
                raise _unusable(self.index.layout.live[kind].generation)
        await self._name_models()
        made = [await self._ensure(item.generation) for item in self.index.layout.collections]
        if self.outdated:
            _log.warning("index_outdated", kinds=self.outdated, advice="advanced-rag reindex")
        return any(made)

    async def follow(self) -> None:
        """Find out which collections are in use now; raises what the database raises."""
        async with self._turn:
            moment = time.monotonic()
            stored = await self._database.read_across(lambda t: GenerationRepository(t).all())
            kinds = self.wanted.keys() | {VISUAL}  # vectors of pages stand in SQL: it is kept up to date without a model
            used = [item for item in stored if item.generation.kind in kinds and item.state != "dropping"]
            collections = [Collection(item.generation, item.state, await self._embedder(item.generation)) for item in used]
            left = tuple(item.generation for item in stored if item not in used)
            self.index.layout = Layout(tuple(collections), moment, left)
            needed = {item.generation.encoder for item in used} | {item.encoder for item in self.wanted.values()}
            self._embedders = {key: embedder for key, embedder in self._embedders.items() if key in needed}

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            await asyncio.sleep(_EVERY_S)
            try:
                await self.follow()
            except RagError as error:
                _log.warning("generations_not_followed", code=error.code)
            except Exception as error:  # noqa: BLE001 - the outermost loop: one fault must not end all background work
                _log.error("unexpected_error", error_type=type(error).__name__, exc_info=error)

    async def _embedder(self, generation: Generation) -> Embedder | None:
        if generation.kind in {SPARSE, VISUAL} or generation.encoder in self._embedders:
            return self._embedders.get(generation.encoder)
        model = generation.model
        if model is None or time.monotonic() < self._failed.get(model, 0.0):
            return None
        try:
            embedder = await self._load(model)
        except StartupError as error:
            _log.error("encoder_missing", collection=generation.collection, model=model, reason=error.message)
        else:
            self._embedders[embedder.encoder.fingerprint] = embedder
            if embedder.encoder.fingerprint == generation.encoder:
                return embedder
            _log.error("encoder_missing", collection=generation.collection, model=model, reason="it has other weights now")
        self._failed[model] = time.monotonic() + _TRY_AGAIN_S
        return None

    async def _make_live(self) -> None:
        live = await self._database.read_across(lambda t: GenerationRepository(t).live())
        for kind, wanted in self.wanted.items():
            if kind not in live:
                with suppress(ConflictError):  # another replica was faster
                    await self._database.write_across(lambda t, new=wanted: GenerationRepository(t).add_live(new))  # type: ignore[misc]

    async def _give_up_unusable(self) -> None:
        """Give up what was kept for a rollback and cannot be written to any more: nothing could be ingested otherwise."""
        unusable = [
            item.generation for item in self.index.layout.collections if item.state == "retired" and not item.is_usable
        ]
        if unusable:
            _log.warning("rollback_given_up", collections=[generation.collection for generation in unusable])
            await self._database.write_across(lambda t: GenerationRepository(t).give_up(unusable))
            await self.follow()

    async def _name_models(self) -> None:
        """Write down by which name an encoder is found now: it may have moved, and once names were not written down."""
        for item in self.index.layout.collections:
            wanted = self.wanted.get(item.generation.kind, item.generation)
            is_same = item.generation.encoder == wanted.encoder
            if is_same and wanted.model is not None and item.generation.model != wanted.model:
                named = (item.generation, wanted.model)
                await self._database.write_across(lambda t, named=named: GenerationRepository(t).name_model(*named))  # type: ignore[misc]

    async def _ensure(self, generation: Generation) -> bool:
        try:
            return await asyncio.to_thread(self._store.ensure, generation)
        except VectorStoreRefusedError as error:
            raise StartupError(f"milvus.uri: {error.message}") from error


def _unusable(generation: Generation) -> StartupError:
    named = f"the encoder {generation.model}" if generation.model else "another encoder"
    return StartupError(
        f"the {generation.kind} index was built with {named}, which cannot be loaded as it was: put it back, "
        "or build the index anew with `advanced-rag reindex` while no service runs"
    )
