"""What the container stands on: the database, guards, the services that know who is who, what reads files and sees pages."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from anyio import to_thread

from advanced_rag.auth.secret import check_shared, derive, load_secret
from advanced_rag.auth.tokens import OwnTokens, open_verifier
from advanced_rag.config import Settings
from advanced_rag.encoders.cache import EmbeddingCache
from advanced_rag.encoders.visual import load_visual_encoder
from advanced_rag.encoders.workers import EncoderWorkers
from advanced_rag.exceptions import PoolExhaustedError
from advanced_rag.models.routing import Route, Rule
from advanced_rag.parsing.ocr import is_available
from advanced_rag.parsing.pool import ParserPool
from advanced_rag.resilience.breaker import BreakerPolicy, CircuitBreaker
from advanced_rag.resilience.bulkhead import Bulkhead
from advanced_rag.resilience.guard import Guard
from advanced_rag.services.audit import AuditService
from advanced_rag.services.identity import Authenticator
from advanced_rag.services.keys import KeyService
from advanced_rag.services.quotas import QuotaService
from advanced_rag.services.reading import FileReader
from advanced_rag.services.sql import Sql
from advanced_rag.services.tenants import TenantService
from advanced_rag.services.tickets import TicketService
from advanced_rag.services.users import UserService
from advanced_rag.services.visual import VisualEmbedder
from advanced_rag.storage.database import Database
from advanced_rag.storage.migrations import check_schema
from advanced_rag.telemetry import metrics
from advanced_rag.text.diagnose import Lexicons

_SQL_ATTEMPTS = 2  # the first may find a connection that broke since it was used last
_BATCHES_WAITING = 1024  # for the visual encoder
_VECTORS_OF_QUERY = 32  # of the visual encoder, or so: it keeps that many times fewer questions than the others
_SLOW_SHARE = 0.8  # of its time limit: a call that takes so long is counted as slow


@dataclass(frozen=True, slots=True)
class Identities:
    """The services that know who is who; they need nothing but the database."""

    keys: KeyService
    tenants: TenantService
    users: UserService
    authenticator: Authenticator
    audit: AuditService
    quotas: QuotaService
    tickets: TicketService


@asynccontextmanager
async def open_identities(settings: Settings) -> AsyncIterator[Identities]:
    """Open what administers identities; raises StartupError, UnavailableError."""
    check_shared(settings)
    async with AsyncExitStack() as stack:
        sql, _ = await open_sql(settings, stack)
        yield make_identities(settings, sql)


async def open_sql(settings: Settings, stack: AsyncExitStack) -> tuple[Sql, Guard]:
    """Open the database and check its schema; raises StartupError, UnavailableError."""
    database = Database(settings.database_url, settings.database)
    stack.callback(database.close)
    await to_thread.run_sync(check_schema, database.engine, abandon_on_cancel=True)
    guard = _sql_guard(settings)
    return Sql(database, guard, settings.database), guard


def make_identities(settings: Settings, database: Sql) -> Identities:
    """Return the services that know who is who; raises StartupError without a secret replicas can share."""
    own, secret = settings.auth, load_secret(settings)
    tenants = TenantService(database)
    tokens = OwnTokens(derive(secret, "access-tokens"), own.access_token_s)
    keys = KeyService(database, derive(secret, "api-keys"), own.granted)
    users = UserService(database, tenants, tokens, derive(secret, "users"), own)
    authenticator = Authenticator(keys, users, tenants, tokens, open_verifier(own.jwt), own.granted)
    retention = timedelta(days=settings.audit.retention_days)
    audit = AuditService(database, tenants, derive(secret, "audit"), retention)
    tickets = TicketService(database, derive(secret, "tickets"))
    return Identities(keys, tenants, users, authenticator, audit, QuotaService(database), tickets)


def _sql_guard(settings: Settings) -> Guard:
    own = settings.database
    bulkhead = Bulkhead("database", permits=own.connections, wait_s=own.pool_wait_s, refusal=PoolExhaustedError)
    return _guarded(bulkhead, timeout_s=own.timeout_s, attempts=_SQL_ATTEMPTS)


def make_guard(name: str, *, permits: int, wait_s: float, timeout_s: float, attempts: int = 1) -> Guard:
    """Return the guard of a dependency."""
    return _guarded(Bulkhead(name, permits=permits, wait_s=wait_s), timeout_s=timeout_s, attempts=attempts)


def _guarded(bulkhead: Bulkhead, *, timeout_s: float, attempts: int) -> Guard:
    name, policy = bulkhead.name, BreakerPolicy(slow_s=_SLOW_SHARE * timeout_s)
    return Guard(name, bulkhead=bulkhead, breaker=make_breaker(name, policy), timeout_s=timeout_s, attempts=attempts)


def make_breaker(name: str, policy: BreakerPolicy | None = None) -> CircuitBreaker:
    """Return a circuit breaker whose state is a metric."""
    gauge = metrics.BREAKER_STATE.labels(name)
    gauge.set(0)
    return CircuitBreaker(name, policy, on_change=gauge.set)


async def open_visual(settings: Settings, stack: AsyncExitStack) -> VisualEmbedder | None:
    """Load the visual encoder, if one is set, and start its thread. Raises StartupError."""
    own, model = settings.visual, settings.visual.model
    if model is None:
        return None
    encoder = await asyncio.to_thread(lambda: load_visual_encoder(model, own))
    workers = EncoderWorkers(threads=1, max_waiting=_BATCHES_WAITING, name="visual")
    stack.callback(workers.close)
    entries = max(settings.encoder.cache_entries // _VECTORS_OF_QUERY, 1)
    cache = EmbeddingCache(entries=entries, ttl_s=settings.encoder.cache_ttl_s, clock=time.monotonic)
    return VisualEmbedder(encoder, workers, cache if settings.features.cache else None, own, settings.encoder)


def make_reader(settings: Settings, parser: ParserPool) -> FileReader:
    """Return what reads files, by the rules of the settings and on the ways that can be gone here."""
    here: dict[Route, bool] = {"ocr": is_available(settings.parsing.ocr), "visual": settings.visual.model is not None}
    rules = [Rule(**rule.model_dump()) for rule in settings.routing.rules]
    lexicons = Lexicons({name: domain.lexicon for name, domain in settings.domains.items()})
    routes = [route for route, is_possible in here.items() if is_possible]
    return FileReader(parser, rules, routes, lexicons, max_pages=settings.visual.max_pages)
