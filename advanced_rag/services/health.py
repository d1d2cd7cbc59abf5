"""Is the service fit to answer, and what is it made of?"""

import asyncio
import math
import os
import time
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from pathlib import Path

from advanced_rag.encoders.workers import EncoderWorkers
from advanced_rag.exceptions import RagError
from advanced_rag.models.documents import TenantId
from advanced_rag.models.index import SEMANTIC
from advanced_rag.resilience.guard import Guard
from advanced_rag.services.index import Index
from advanced_rag.services.sql import Sql
from advanced_rag.storage.database import ping
from advanced_rag.storage.jobs import JobRepository
from advanced_rag.storage.shared import SharedStore

_LIMIT_S, _FRESH_S = 2.0, 1.0


@dataclass(frozen=True, slots=True)
class ComponentHealth:
    """One dependency: whether it answered, in how many milliseconds, why not, and whether nothing goes without it."""

    name: str
    ok: bool
    latency_ms: float
    reason: str | None = None
    required: bool = True


@dataclass(frozen=True, slots=True)
class IndexStatus:
    """What the index is made of and the work that is left."""

    collections: dict[str, str]
    encoder: str
    runtime: str
    jobs: dict[str, int]


@dataclass(frozen=True, slots=True)
class Condition:
    """How the process is doing: seconds, MiB, states of circuit breakers, batches that wait for the encoder."""

    uptime_s: float
    memory_mib: float | None
    breakers: dict[str, str]
    encoder_queue: int
    generations: dict[str, str]


class HealthService:
    """Asks each dependency, for two seconds at most, and remembers the answers for one."""

    def __init__(
        self, database: Sql, index: Index, shared: SharedStore | None, guards: Sequence[Guard], workers: EncoderWorkers
    ) -> None:
        self._database = database
        self._index = index
        self._shared = shared
        self._guards = guards
        self._workers = workers
        self._started_at = time.monotonic()
        self._turn = asyncio.Lock()
        self._checked_at = -math.inf
        self._components: list[ComponentHealth] = []
        self.is_draining = False

    def drain(self) -> None:
        """Say from now on that the service is not ready: it is about to stop."""
        self.is_draining = True

    async def components(self) -> list[ComponentHealth]:
        """Return the health of the database, the vector store, the encoder and, where there is one, Redis."""
        async with self._turn:  # whoever comes while they are asked gets the same answer
            if time.monotonic() - self._checked_at > _FRESH_S:
                self._components = await self._ask()
                self._checked_at = time.monotonic()
            return self._components

    def condition(self) -> Condition:
        """Return what can be told without asking anybody."""
        return Condition(
            uptime_s=round(time.monotonic() - self._started_at, 1),
            memory_mib=_memory_mib(),
            breakers={guard.name: guard.state.name.lower() for guard in self._guards},
            encoder_queue=self._workers.waiting,
            generations=self._collections(),
        )

    def _collections(self) -> dict[str, str]:
        return {kind: generation.collection for kind, generation in self._index.generations.items()}

    async def _ask(self) -> list[ComponentHealth]:
        checks = [
            _check("database", self._database.read_across(ping)),
            _check("vector_store", asyncio.to_thread(self._index.store.ping, self._index.generations[SEMANTIC])),
            _check("encoder", self._index.semantic.query("ready?", "health")),
        ]
        if self._shared is not None:
            checks.append(_check("redis", asyncio.to_thread(self._shared.ping), required=False))
        return list(await asyncio.gather(*checks))

    async def index(self, tenant: TenantId) -> IndexStatus:
        """Return what the index is made of, and the work that is left for a tenant."""
        encoder = self._index.semantic.encoder
        jobs = await self._database.read(tenant, lambda t: JobRepository(t, "").counts(tenant))
        return IndexStatus(self._collections(), encoder.fingerprint, encoder.runtime, jobs)


def _memory_mib() -> float | None:
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return None  # not Linux
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)


async def _check(name: str, probe: Awaitable[object], *, required: bool = True) -> ComponentHealth:
    started = time.perf_counter()
    reason = None
    try:
        async with asyncio.timeout(_LIMIT_S):
            await probe
    except TimeoutError:
        reason = "timeout"
    except RagError as error:
        reason = error.code
    return ComponentHealth(name, reason is None, round((time.perf_counter() - started) * 1000, 3), reason, required)
