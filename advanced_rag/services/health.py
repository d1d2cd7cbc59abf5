"""Is the service fit to answer, and what is it made of?"""

import asyncio
import math
import time
from collections.abc import Awaitable
from dataclasses import dataclass

from advanced_rag.exceptions import RagError
from advanced_rag.services.index import Index
from advanced_rag.storage.database import Database, ping
from advanced_rag.storage.jobs import JobRepository

_LIMIT_S, _FRESH_S = 2.0, 1.0


@dataclass(frozen=True, slots=True)
class ComponentHealth:
    """One dependency: whether it answered, in how many milliseconds, and why not."""

    name: str
    ok: bool
    latency_ms: float
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class IndexStatus:
    """What the index is made of and the work that is left."""

    collections: dict[str, str]
    encoder: str
    runtime: str
    jobs: dict[str, int]


class HealthService:
    """Asks each dependency, for two seconds at most, and remembers the answers for one."""

    def __init__(self, database: Database, index: Index) -> None:
        self._database = database
        self._index = index
        self._turn = asyncio.Lock()
        self._checked_at = -math.inf
        self._components: list[ComponentHealth] = []
        self.is_draining = False

    def drain(self) -> None:
        """Say from now on that the service is not ready: it is about to stop."""
        self.is_draining = True

    async def components(self) -> list[ComponentHealth]:
        """Return the health of the database, the vector store and the encoder."""
        async with self._turn:  # whoever comes while they are asked gets the same answer
            if time.monotonic() - self._checked_at > _FRESH_S:
                self._components = await self._ask()
                self._checked_at = time.monotonic()
            return self._components

    async def _ask(self) -> list[ComponentHealth]:
        return list(
            await asyncio.gather(
                _check("database", self._database.read(ping)),
                _check("vector_store", asyncio.to_thread(self._index.store.ping)),
                _check("encoder", self._index.semantic.query("ready?", "health")),
            )
        )

    async def index(self) -> IndexStatus:
        """Return what the index is made of."""
        encoder = self._index.semantic.encoder
        jobs = await self._database.read(lambda connection: JobRepository(connection, "").counts())
        collections = {kind: generation.collection for kind, generation in self._index.generations.items()}
        return IndexStatus(collections, encoder.fingerprint, encoder.runtime, jobs)


async def _check(name: str, probe: Awaitable[object]) -> ComponentHealth:
    started = time.perf_counter()
    reason = None
    try:
        async with asyncio.timeout(_LIMIT_S):
            await probe
    except TimeoutError:
        reason = "timeout"
    except RagError as error:
        reason = error.code
    return ComponentHealth(name, reason is None, round((time.perf_counter() - started) * 1000, 3), reason)
