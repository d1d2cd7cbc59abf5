"""Builds every object once, in order, and closes them in the reverse order."""

import asyncio
import os
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from anyio import to_thread

from advanced_rag.auth.secret import derive, load_secret
from advanced_rag.config import Settings
from advanced_rag.encoders.base import Encoder
from advanced_rag.encoders.cache import EmbeddingCache
from advanced_rag.encoders.load import load_encoder, streams
from advanced_rag.encoders.workers import EncoderWorkers
from advanced_rag.fetching.fetch import Fetcher
from advanced_rag.foundation import Identities, make_breaker, make_guard, make_identities, open_sql
from advanced_rag.llm.extractive import ExtractiveAnswerer
from advanced_rag.llm.openai_compatible import FallbackChain, OpenAiAnswerer
from advanced_rag.models.index import SEMANTIC, SPARSE, Generation, domain_kind
from advanced_rag.models.retrieval import LegName
from advanced_rag.parsing.pool import ParserPool
from advanced_rag.ranking.rerank import load_reranker
from advanced_rag.resilience.guard import Guard
from advanced_rag.services.chat import ChatService
from advanced_rag.services.chunking import Chunker
from advanced_rag.services.documents import DocumentService
from advanced_rag.services.embedding import Embedder
from advanced_rag.services.evaluate import Evaluator
from advanced_rag.services.examples import ingest_examples
from advanced_rag.services.feed import JobFeed
from advanced_rag.services.forget import ForgetService
from advanced_rag.services.generations import Generations
from advanced_rag.services.health import HealthService
from advanced_rag.services.housekeeping import Housekeeping
from advanced_rag.services.index import Index
from advanced_rag.services.ingest import IngestService
from advanced_rag.services.intake import Intake
from advanced_rag.services.job_desk import JobDesk
from advanced_rag.services.jobs import JobWorker
from advanced_rag.services.pace import Pace
from advanced_rag.services.pipeline import Pipeline
from advanced_rag.services.quotas import QuotaService
from advanced_rag.services.rebuild import Tools
from advanced_rag.services.reconcile import Reconciler
from advanced_rag.services.reindex import ReindexService
from advanced_rag.services.removal import Removal
from advanced_rag.services.retrieve import RetrieveService, hydration_batcher, search_batcher
from advanced_rag.services.rights import RightsService
from advanced_rag.services.sessions import SessionService
from advanced_rag.services.sql import Sql
from advanced_rag.services.verify import VerifyService
from advanced_rag.storage.files import FileStore
from advanced_rag.storage.job_log import TOPIC
from advanced_rag.storage.row_security import is_bypassed
from advanced_rag.storage.shared import Bell, SharedStore
from advanced_rag.storage.vectors import VectorStore
from advanced_rag.telemetry.logs import get_logger

Announce = Callable[[str], None]
_log = get_logger(__name__)

_ENCODER_QUEUE = 4096
_SEARCHES_WAITING = 256
_WRITES_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Container:
    """The services, ready to use."""

    settings: Settings
    database: Sql
    index: Index
    ingest: IngestService
    removal: Removal
    jobs: JobDesk
    feed: JobFeed
    files: FileStore
    fetcher: Fetcher
    documents: DocumentService
    rights: RightsService
    forget: ForgetService
    retrieve: RetrieveService
    chat: ChatService
    sessions: SessionService
    verify: VerifyService
    reindex: ReindexService
    health: HealthService
    identities: Identities


@asynccontextmanager
async def open_container(
    settings: Settings, announce: Announce = lambda _: None, *, reindexing: bool = False
) -> AsyncIterator[Container]:
    """Open everything the service needs; ``announce`` is told what takes long.

    ``reindexing`` opens it although what is live cannot be searched here, because it is about to be replaced.
    Raises StartupError for what is missing or wrong, UnavailableError for what does not answer, with one clear line.
    """
    load_secret(settings)  # before anything is waited for: without one there is no start
    async with AsyncExitStack() as stack:
        sql, sql_guard = await open_sql(settings, stack)
        if await sql.read_across(is_bypassed):
            _log.warning("row_security_bypassed", advice="connect as a role that is no superuser")
        store = await _open_store(settings)
        stack.callback(store.close)
        workers = EncoderWorkers(threads=streams(settings.encoder), max_waiting=_ENCODER_QUEUE)
        stack.callback(workers.close)
        generations = await _open_index(settings, sql, store, workers, announce)
        is_new = await generations.open(reindexing=reindexing)
        container, jobs = _services(settings, sql, sql_guard, generations, workers, stack)
        if settings.is_open:
            _log.warning("open_to_the_network", advice="auth.mode is disabled: let a proxy authenticate, or require keys")
        if settings.milvus_is_embedded:
            await jobs.release_all()  # the lock on the data directory proves that nobody else works on them
            await container.reindex.release_all()
        if is_new:
            await _fill(container, announce)
        if settings.examples.ingest:
            await ingest_examples(container.ingest, container.documents, announce)
        known = container.identities
        upkeep = [container.feed.run(), known.keys.run(), known.audit.run(), known.quotas.run()]
        upkeep += [generations.run(), container.reindex.run()]
        for work in [*upkeep, jobs.run()] if settings.jobs.embedded else upkeep:
            stack.push_async_callback(_cancel, asyncio.create_task(work))
        yield container


async def _fill(container: Container, announce: Announce) -> None:
    """Write what SQL has into collections that were just made: SQL alone says what exists."""
    if not (await container.verify.verify_all(repair=False)).agrees:
        announce("writing the documents of the database into a new index")
        await container.verify.verify_all(repair=True)


async def _open_store(settings: Settings) -> VectorStore:
    def connect() -> VectorStore:
        return VectorStore.open(settings.milvus_uri, settings.milvus, is_embedded=settings.milvus_is_embedded)

    if settings.milvus_is_embedded:
        return connect()  # in this thread: Milvus Lite is tied to the one that started it
    return await to_thread.run_sync(connect, abandon_on_cancel=True)


async def _open_index(
    settings: Settings, database: Sql, store: VectorStore, workers: EncoderWorkers, announce: Announce
) -> Generations:
    async def load(model: str) -> Embedder:
        folder, own = settings.data_dir / "encoders", settings.encoder
        encoder = await asyncio.to_thread(lambda: load_encoder(model, own, folder, announce=announce))
        cache = EmbeddingCache(entries=own.cache_entries, ttl_s=own.cache_ttl_s, clock=time.monotonic)
        return Embedder(encoder, workers, cache if settings.features.cache else None, own)

    models = {SEMANTIC: settings.encoder.model}
    for name, domain in settings.domains.items() if settings.features.domain else ():
        models[domain_kind(name)] = domain.encoder or settings.encoder.model
    loaded = {model: await load(model) for model in dict.fromkeys(models.values())}
    wanted = {kind: _wanted(kind, model, loaded[model].encoder) for kind, model in models.items()}
    if settings.features.sparse:
        wanted[SPARSE] = Generation(SPARSE, 1, settings.milvus.analyzer, None)
    embedders = {embedder.encoder.fingerprint: embedder for embedder in loaded.values()}
    return Generations(database, store, _write_guard(settings), wanted, embedders, load)


def _wanted(kind: str, model: str, encoder: Encoder) -> Generation:
    return Generation(kind, 1, encoder.fingerprint, encoder.dimension, model)


def _services(
    settings: Settings,
    database: Sql,
    sql_guard: Guard,
    generations: Generations,
    workers: EncoderWorkers,
    stack: AsyncExitStack,
) -> tuple[Container, JobWorker]:
    index, known, sessions = generations.index, make_identities(settings, database), SessionService(database)
    work = _work(settings, database, index, known.quotas, stack)
    legs = _leg_guards(settings)
    rerank_guard = make_guard("rerank", permits=1, wait_s=1.0, timeout_s=settings.retrieval.rerank_timeout_s)
    pace, reconciler = Pace(settings.reindex.max_slowdown), Reconciler(database, index)
    retrieve = _retrieve(settings, database, index, legs, rerank_guard, pace)
    evaluator = Evaluator(database, index, settings.retrieval.weights)
    tools = Tools(database, generations, reconciler, evaluator, known.tenants, pace, settings.reindex, work.owner)
    guards = [sql_guard, index.guard, *legs.values(), rerank_guard]
    forgetting = derive(load_secret(settings), "receipts")
    container = Container(
        settings=settings,
        database=database,
        index=index,
        identities=known,
        ingest=work.ingest,
        removal=work.removal,
        jobs=work.desk,
        feed=work.feed,
        files=work.files,
        fetcher=Fetcher(settings.fetch),
        documents=DocumentService(database, index),
        rights=work.rights,
        forget=ForgetService(database, index, work.removal, forgetting, owner=work.owner, lease_s=settings.jobs.lease_s),
        retrieve=retrieve,
        chat=_chat(settings, index, sessions, retrieve, known.quotas, stack),
        sessions=sessions,
        verify=VerifyService(index, reconciler, known.tenants, work.worker),
        reindex=ReindexService(tools, lease_s=settings.jobs.lease_s),
        health=HealthService(database, index, _shared_store(settings, stack), guards, workers),
    )
    return container, work.worker


@dataclass(frozen=True, slots=True)
class _Work:
    """What brings documents in, and takes them out."""

    owner: str
    files: FileStore
    ingest: IngestService
    removal: Removal
    rights: RightsService
    worker: JobWorker
    feed: JobFeed
    desk: JobDesk


def _work(settings: Settings, database: Sql, index: Index, quotas: QuotaService, stack: AsyncExitStack) -> _Work:
    owner, lease_s = f"{os.getpid()}-{uuid.uuid4().hex[:12]}", settings.jobs.lease_s
    mine: Any = {"owner": owner, "lease_s": lease_s}
    files, chunker = FileStore(settings.files_folder), Chunker(lambda: index.semantic.encoder, settings.chunking)
    parser = ParserPool(settings.parsing)
    stack.push_async_callback(parser.close)
    removal, rights = Removal(database, index, **mine), RightsService(database, index, **mine)
    pipeline = Pipeline(database, index, chunker, parser, files, quotas, removal, **mine)
    sweep = Housekeeping(database, files, settings.jobs)
    worker = JobWorker(database, pipeline, removal, rights, sweep, settings.jobs, owner=owner)
    intake = Intake(database, chunker, **mine)
    ingest = IngestService(database, intake, pipeline, quotas, owner=owner, wake=worker.wake)
    stack.push_async_callback(ingest.close)
    feed = JobFeed(database, _bell(settings, stack))
    database.listen(TOPIC, feed.changed)
    desk = JobDesk(database, feed, files, worker, lease_s=lease_s)
    return _Work(owner, files, ingest, removal, rights, worker, feed, desk)


def _bell(settings: Settings, stack: AsyncExitStack) -> Bell | None:
    if settings.redis.url is None:
        return None
    bell = Bell(settings.redis, settings.redis.url.get_secret_value())
    stack.push_async_callback(bell.close)
    return bell


def _retrieve(
    settings: Settings, database: Sql, index: Index, legs: dict[LegName, Guard], rerank_guard: Guard, pace: Pace
) -> RetrieveService:
    return RetrieveService(
        index=index,
        guards=legs,
        searches=search_batcher(index, max_waiting=_SEARCHES_WAITING),
        hydrations=hydration_batcher(database, max_waiting=_SEARCHES_WAITING),
        reranker=load_reranker(settings.retrieval.rerank_model) if settings.retrieval.rerank_model else None,
        rerank_guard=rerank_guard,
        settings=settings.retrieval,
        features=settings.features,
        saw=pace.saw,
    )


def _chat(
    settings: Settings,
    index: Index,
    sessions: SessionService,
    retrieve: RetrieveService,
    quotas: QuotaService,
    stack: AsyncExitStack,
) -> ChatService:
    chain = _providers(settings)
    if chain is not None:
        stack.push_async_callback(chain.close)
    extractive = ExtractiveAnswerer(lambda: index.semantic, sentences=settings.chat.sentences)
    return ChatService(sessions, retrieve, extractive, chain, quotas, settings.chat)


def _write_guard(settings: Settings) -> Guard:
    limit_s = settings.milvus.write_timeout_s
    return make_guard("index", permits=_WRITES_AT_ONCE, wait_s=limit_s, timeout_s=limit_s, attempts=settings.milvus.attempts)


def _leg_guards(settings: Settings) -> dict[LegName, Guard]:
    own = settings.milvus
    permits: dict[LegName, int] = {
        "semantic": own.concurrency_semantic,
        "sparse": own.concurrency_sparse,
        "domain": own.concurrency_domain,
    }
    return {
        leg: make_guard(leg, permits=count, wait_s=own.queue_wait_s, timeout_s=own.timeout_s, attempts=own.attempts)
        for leg, count in permits.items()
    }


def _shared_store(settings: Settings, stack: AsyncExitStack) -> SharedStore | None:
    if settings.redis.url is None:
        return None
    store = SharedStore(settings.redis, settings.redis.url.get_secret_value())
    stack.callback(store.close)
    return store


def _providers(settings: Settings) -> FallbackChain | None:
    providers = [(OpenAiAnswerer(item), make_breaker(f"llm_{item.name}").watch) for item in settings.llm.providers]
    return FallbackChain(providers) if providers else None


async def _cancel(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
