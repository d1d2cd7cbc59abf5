"""Builds every object once, in order, and closes them in the reverse order."""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from advanced_rag.auth.secret import derive, load_secret
from advanced_rag.config import Settings
from advanced_rag.encoders.load import streams
from advanced_rag.encoders.workers import EncoderWorkers
from advanced_rag.fetching.fetch import Fetcher
from advanced_rag.foundation import (
    Identities,
    make_breaker,
    make_guard,
    make_identities,
    make_reader,
    open_sql,
    open_visual,
)
from advanced_rag.indexing import make_generations, open_store
from advanced_rag.llm.chain import FallbackChain
from advanced_rag.llm.extractive import ExtractiveAnswerer
from advanced_rag.models.retrieval import LegName
from advanced_rag.parsing.pool import ParserPool
from advanced_rag.ranking.rerank import load_reranker
from advanced_rag.resilience.guard import Guard
from advanced_rag.services.bulk_removal import BulkRemoval
from advanced_rag.services.chat import ChatService
from advanced_rag.services.chunking import Chunker
from advanced_rag.services.documents import DocumentService
from advanced_rag.services.evaluate import Evaluator
from advanced_rag.services.examples import ingest_examples
from advanced_rag.services.feed import JobFeed
from advanced_rag.services.forget import ForgetService
from advanced_rag.services.generations import Generations
from advanced_rag.services.health import HealthService
from advanced_rag.services.held import Held
from advanced_rag.services.housekeeping import Housekeeping
from advanced_rag.services.index import Index
from advanced_rag.services.ingest import IngestService
from advanced_rag.services.intake import Intake
from advanced_rag.services.job_desk import JobDesk
from advanced_rag.services.jobs import JobWorker
from advanced_rag.services.pace import Pace
from advanced_rag.services.page_search import PageSearch
from advanced_rag.services.pages import PageCapture
from advanced_rag.services.pipeline import Pipeline
from advanced_rag.services.quotas import QuotaService
from advanced_rag.services.rebuild import Tools
from advanced_rag.services.reconcile import Reconciler
from advanced_rag.services.reindex import ReindexService
from advanced_rag.services.removal import Removal
from advanced_rag.services.retention import Retention
from advanced_rag.services.retrieve import RetrieveService
from advanced_rag.services.rights import RightsService
from advanced_rag.services.searches import hydration_batcher, search_batcher
from advanced_rag.services.sessions import SessionService
from advanced_rag.services.sql import Sql
from advanced_rag.services.verify import VerifyService
from advanced_rag.services.versions import VersionService
from advanced_rag.storage.files import FileStore
from advanced_rag.storage.job_log import TOPIC
from advanced_rag.storage.row_security import is_bypassed
from advanced_rag.storage.shared import Bell, SharedStore
from advanced_rag.telemetry.logs import get_logger

Announce = Callable[[str], None]
_log = get_logger(__name__)

_ENCODER_QUEUE = 4096
_SEARCHES_WAITING = 256


@dataclass(frozen=True, slots=True)
class Container:
    """The services, ready to use."""

    settings: Settings
    database: Sql
    index: Index
    ingest: IngestService
    removal: Removal
    bulk_removal: BulkRemoval
    versions: VersionService
    worker: JobWorker
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
    settings: Settings, announce: Announce = lambda _: None, *, serves: bool = True, reindexing: bool = False
) -> AsyncIterator[Container]:
    """Open everything the service needs; ``announce`` is told what takes long.

    ``serves`` says that questions are answered here, so that it can be seen what background work does to them;
    ``reindexing`` opens it although what is live cannot be searched here, because it is about to be replaced.
    Raises StartupError for what is missing or wrong, UnavailableError for what does not answer, with one clear line.
    """
    load_secret(settings)  # before anything is waited for: without one there is no start
    async with AsyncExitStack() as stack:
        sql, sql_guard = await open_sql(settings, stack)
        if await sql.read_across(is_bypassed):
            _log.warning("row_security_bypassed", advice="connect as a role that is no superuser")
        store = await open_store(settings)
        stack.callback(store.close)
        workers = EncoderWorkers(threads=streams(settings.encoder), max_waiting=_ENCODER_QUEUE)
        stack.callback(workers.close)
        visual = await open_visual(settings, stack)
        generations = await make_generations(settings, sql, store, workers, visual, announce)
        is_new = await generations.open(reindexing=reindexing)
        container, jobs = _services(settings, sql, sql_guard, generations, workers, stack)
        if settings.is_open:
            _log.warning("open_to_the_network", advice="auth.mode is disabled: let a proxy authenticate, or require keys")
        if settings.milvus_is_embedded:
            await jobs.release_all()  # the lock on the data directory proves that nobody else works on them
            await container.reindex.release_all()
        if is_new:
            await jobs.start_over()
            await _fill(container, announce)
        if settings.examples.ingest:
            await ingest_examples(container.ingest, container.documents, announce)
        known = container.identities
        upkeep = [container.feed.run(), known.keys.run(), known.audit.run(), known.quotas.run(), generations.run()]
        upkeep += [container.reindex.run()] if serves else []
        for work in [*upkeep, jobs.run()] if settings.jobs.embedded else upkeep:
            stack.push_async_callback(_cancel, asyncio.create_task(work))
        yield container


async def _fill(container: Container, announce: Announce) -> None:
    """Write what SQL has into collections that were just made: SQL alone says what exists."""
    if not (await container.verify.verify_all(repair=False)).agrees:
        announce("writing the documents of the database into a new index")
        await container.verify.verify_all(repair=True)


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
    legs = _leg_guards(settings, has_pages=index.visual is not None)
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
        bulk_removal=BulkRemoval(database, work.removal),
        versions=VersionService(database, work.rights, owner=work.owner, lease_s=settings.jobs.lease_s),
        worker=work.worker,
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
    removal, rights = Removal(database, index, files, **mine), RightsService(database, index, **mine)
    pages = PageCapture(database, parser, index.visual, owner=owner) if index.visual else None
    pipeline = Pipeline(database, index, chunker, make_reader(settings, parser), pages, files, quotas, removal, **mine)
    retention = Retention(database, removal, settings.documents, failed_days=settings.jobs.retention_days)
    sweep, held = Housekeeping(database, files, retention, settings.jobs), Held()
    worker = JobWorker(database, pipeline, removal, rights, sweep, held, settings.jobs, owner=owner)
    intake = Intake(database, chunker, **mine, seen_by=index.visual.encoder.fingerprint if index.visual else None)
    ingest = IngestService(database, intake, pipeline, quotas, held, owner=owner, wake=worker.wake)
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
    searches = search_batcher(index, max_waiting=_SEARCHES_WAITING)
    pages = PageSearch(database, index.visual, legs["visual"], searches) if index.visual else None
    return RetrieveService(
        index=index,
        guards=legs,
        searches=searches,
        hydrations=hydration_batcher(database, max_waiting=_SEARCHES_WAITING),
        pages=pages,
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


def _leg_guards(settings: Settings, *, has_pages: bool) -> dict[LegName, Guard]:
    own = settings.milvus
    permits: dict[LegName, int] = {
        "semantic": own.concurrency_semantic,
        "sparse": own.concurrency_sparse,
        "domain": own.concurrency_domain,
        **({"visual": own.concurrency_visual} if has_pages else {}),
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
    if not settings.llm.providers:
        return None
    from advanced_rag.llm.openai_compatible import OpenAiAnswerer  # noqa: PLC0415 - takes half a second to load

    return FallbackChain([(OpenAiAnswerer(item), make_breaker(f"llm_{item.name}").watch) for item in settings.llm.providers])


async def _cancel(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
