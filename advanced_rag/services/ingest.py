"""Ingestion: from documents to visible, searchable versions; nothing is lost, nothing is there twice.

1. One transaction stores the new versions, invisible, with their chunks and a job that says they must be finished.
2. Their chunks are embedded and written to the index; writing them again would change nothing.
3. One transaction makes them visible, drops the job, and queues the purge of what they replace.

A crash anywhere leaves the job, and the job is finished later (services/jobs.py).
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson

from advanced_rag.config import ChunkingSettings
from advanced_rag.exceptions import (
    ForbiddenError,
    IdTakenError,
    OnHoldError,
    OverloadedError,
    RagError,
    StorageQuotaExceededError,
    UnavailableError,
)
from advanced_rag.models.documents import Chunk, DocumentInput, DocumentVersion, IngestResult, Span, TenantId
from advanced_rag.models.identity import Principal
from advanced_rag.models.quota import NOTHING, Consumption, Holdings
from advanced_rag.services.index import Index
from advanced_rag.services.quotas import QuotaService
from advanced_rag.services.rights import label_job, settle
from advanced_rag.services.sql import Sql
from advanced_rag.storage.database import TenantTransaction
from advanced_rag.storage.documents import DocumentRepository, DocumentState, NewVersion
from advanced_rag.storage.holds import HoldRepository
from advanced_rag.storage.ids import chunk_id, content_hash
from advanced_rag.storage.jobs import Job, JobRepository, new_job
from advanced_rag.storage.rights import RightsRepository, StoredRights
from advanced_rag.storage.usage import UsageRepository
from advanced_rag.telemetry import metrics
from advanced_rag.telemetry.logs import get_logger
from advanced_rag.telemetry.tracing import stage
from advanced_rag.text.chunk import ChunkLimits, chunk_text

WAVE = 64
WAVES_AT_ONCE = 2
SPECIAL_TOKENS = 2

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A document with what can be known of it without the database."""

    document: DocumentInput
    content_hash: str
    spans: list[Span]


@dataclass(frozen=True, slots=True)
class _Begun:
    """A version that is stored and not visible yet."""

    version: NewVersion
    job: Job
    rights: StoredRights
    replaces: bool


@dataclass(frozen=True, slots=True)
class _Settled:
    """The rights of a document after this ingestion."""

    after: StoredRights
    is_changed: bool


class IngestService:
    """Puts documents in and takes them out."""

    def __init__(
        self, database: Sql, index: Index, quotas: QuotaService, chunking: ChunkingSettings, *, owner: str, lease_s: float
    ) -> None:
        self._database = database
        self._index = index
        self._quotas = quotas
        self._owner = owner
        self._lease_s = lease_s
        self._limits = ChunkLimits(
            max_tokens=min(chunking.max_tokens, index.semantic.encoder.max_tokens),
            special_tokens=SPECIAL_TOKENS,
            overlap_tokens=chunking.overlap_tokens,
        )
        self._waves = asyncio.Semaphore(WAVES_AT_ONCE)

    async def ingest(self, principal: Principal, documents: Sequence[DocumentInput]) -> list[IngestResult]:
        """Ingest documents with different ids; the results stand in their order.

        A document that could not be indexed fails alone; only a database that does not answer fails the call.
        """
        waves = [documents[start : start + WAVE] for start in range(0, len(documents), WAVE)]
        results = await asyncio.gather(*(self._wave(principal, wave) for wave in waves))
        return [result for wave in results for result in wave]

    async def delete(self, principal: Principal, document_id: str) -> bool:
        """Delete a document; False when there is none to be seen. It cannot be found from the moment this returns.

        Raises OnHoldError.
        """
        tenant = principal.tenant

        def remove(transaction: TenantTransaction) -> Job | None:
            owner = RightsRepository(transaction).of([document_id])
            floor = DocumentRepository(transaction).remove(document_id, principal.reader)
            if floor is None:
                return None
            if HoldRepository(transaction).is_held(document_id=document_id, user_id=owner[document_id].rights.owner):
                raise OnHoldError("a legal hold keeps this document")
            job = new_job(tenant, "purge", document_id, 0, floor)
            JobRepository(transaction, self._owner).add([job], lease_s=self._lease_s)
            return job

        job = await self._database.write(tenant, remove)
        if job is not None:
            await self._purge(tenant, [job])
        return job is not None

    async def resume(self, job: Job) -> None:
        """Finish a version that was begun before a crash."""
        found = await self._database.read(
            job.tenant, lambda transaction: DocumentRepository(transaction).version_chunks(job.document_id, job.start)
        )
        stored = await self._database.read(job.tenant, lambda t: _rights_to_be(t, job))
        if found is not None:
            await self._index.add(job.tenant, [found], {key: item.rights for key, item in stored.items()})
        await self._activate(job.tenant, [job], {key: item.number for key, item in stored.items()})

    async def _wave(self, principal: Principal, documents: Sequence[DocumentInput]) -> list[IngestResult]:
        async with self._waves:
            with stage("chunk"):
                prepared = [await asyncio.to_thread(self._prepare, document) for document in documents]
            with stage("store"):
                begun, results = await self._database.write(
                    principal.tenant, lambda transaction: self._begin(transaction, principal, prepared)
                )
            tokens = sum(chunk.tokens for item in begun for chunk in item.version.chunks)
            self._quotas.use(principal.tenant, Consumption(0, tokens))
            results |= await self._finish(principal.tenant, begun)
        for result in results.values():
            metrics.DOCUMENTS_INGESTED.labels(result.status).inc()
        return [results[document.id] for document in documents]

    def _prepare(self, document: DocumentInput) -> _Prepared:
        tokenizer = self._index.semantic.encoder.tokenizer
        spans = chunk_text(document.text, document.title, tokenizer, self._limits)
        metadata = orjson.dumps(document.metadata, option=orjson.OPT_SORT_KEYS).decode()
        return _Prepared(document, content_hash(document.title, document.text, metadata, document.domain or ""), spans)

    def _begin(
        self, transaction: TenantTransaction, principal: Principal, prepared: Sequence[_Prepared]
    ) -> tuple[list[_Begun], dict[str, IngestResult]]:
        repository, jobs = DocumentRepository(transaction), JobRepository(transaction, self._owner)
        states = repository.lock([item.document.id for item in prepared])
        settled, results = _settle(transaction, principal, prepared, states)
        room = _Room(UsageRepository(transaction))
        begun: list[_Begun] = []
        for item in prepared:
            key, state = item.document.id, states[item.document.id]
            if key not in settled:
                continue
            if state.content_hash != item.content_hash and (full := room.take(item)) is not None:
                results[key] = IngestResult(key, "failed", None, 0, full.code, full.message)
                del settled[key]
                continue
            if state.content_hash != item.content_hash:
                begun.append(_begin_version(transaction.tenant, item, state, settled[key].after))
                continue
            results[key] = IngestResult(key, "unchanged", state.current_version, len(item.spans))
            if settled[key].is_changed:
                jobs.add([label_job(transaction.tenant, key, state.current_version or 0)])
        if begun:
            repository.add_versions([item.version for item in begun])
            jobs.add([item.job for item in begun], lease_s=self._lease_s)
        _change_rights(RightsRepository(transaction), settled, begun)
        return begun, results

    async def _finish(self, tenant: TenantId, begun: list[_Begun]) -> dict[str, IngestResult]:
        if not begun:
            return {}
        try:
            with stage("index"):
                rights = {item.job.document_id: item.rights.rights for item in begun}
                await self._index.add(tenant, [(item.version.document, item.version.chunks) for item in begun], rights)
            with stage("activate"):
                numbers = {item.job.document_id: item.rights.number for item in begun}
                current = await self._activate(tenant, [item.job for item in begun], numbers)
        except (UnavailableError, OverloadedError) as error:
            _log.warning("ingest_failed", code=error.code, documents=len(begun))
            await self._give_up(tenant, [item.job for item in begun])
            return {item.job.document_id: _failed(item, error) for item in begun}
        return {item.job.document_id: _succeeded(item, current) for item in begun}

    async def _activate(self, tenant: TenantId, jobs: Sequence[Job], labelled: Mapping[str, int]) -> dict[str, int]:
        """Make indexed versions visible, as far as the jobs still belong here; returns the current versions.

        Where rights have changed since what was ``labelled``, the index is brought up to them by a job.
        """

        def activate(transaction: TenantTransaction) -> tuple[dict[str, int], list[Job]]:
            owned = JobRepository(transaction, self._owner).finish([job.id for job in jobs])
            versions = {job.document_id: job.start for job in jobs if job.id in owned}
            current = DocumentRepository(transaction).activate(versions)
            purges = [
                new_job(tenant, "purge", key, 0, version)
                if key in current
                else new_job(tenant, "purge", key, version, version + 1)
                for key, version in versions.items()
                if version > 1
            ]
            JobRepository(transaction, self._owner).add(purges, lease_s=self._lease_s)
            stale = _stale_labels(RightsRepository(transaction), current, labelled)
            JobRepository(transaction, self._owner).add([label_job(tenant, key, current[key]) for key in stale])
            lost = _forgotten(transaction, [job for job in jobs if job.id not in owned])
            JobRepository(transaction, self._owner).add(lost)
            return current, purges

        current, purges = await self._database.write(tenant, activate)
        await self._purge(tenant, purges)
        return current

    async def _give_up(self, tenant: TenantId, jobs: Sequence[Job]) -> None:
        """Mark versions as failed and queue the purge of what may have been written of them."""

        def fail(transaction: TenantTransaction) -> list[Job]:
            repository = JobRepository(transaction, self._owner)
            owned = repository.finish([job.id for job in jobs])
            failed = [job for job in jobs if job.id in owned]
            DocumentRepository(transaction).mark_failed({job.document_id: job.start for job in failed})
            purges = [new_job(tenant, "purge", job.document_id, job.start, job.below) for job in failed]
            repository.add(purges)
            return purges

        await self._database.write(tenant, fail)

    async def _purge(self, tenant: TenantId, jobs: list[Job]) -> None:
        """Purge at once; what cannot be done now stays queued."""
        if not jobs:
            return
        try:
            await self.purge(tenant, jobs)
        except RagError as error:
            _log.warning("purge_postponed", code=error.code, jobs=len(jobs))

    async def purge(self, tenant: TenantId, jobs: Sequence[Job]) -> None:
        """Delete what purge jobs of a tenant name from the index and from SQL, then the jobs."""
        await self._index.purge(tenant, jobs)

        def forget(transaction: TenantTransaction) -> None:
            owned = JobRepository(transaction, self._owner).finish([job.id for job in jobs])
            for job in jobs:
                if job.id in owned:
                    DocumentRepository(transaction).forget_chunks(job.document_id, job.start, job.below)

        await self._database.write(tenant, forget)


class _Room:
    """What a tenant may still hold, while documents are taken in one after the other."""

    def __init__(self, usage: UsageRepository) -> None:
        self._usage = usage
        self._quotas = usage.quotas(lock=True)
        self._held = usage.holdings() if self._quotas.limit_storage else NOTHING

    def take(self, item: _Prepared) -> StorageQuotaExceededError | None:
        """Take the room a document needs, in place of its version before; returns why there is none."""
        if not self._quotas.limit_storage:
            return None
        needed = Holdings(1, len(item.spans), len(item.document.text.encode()))
        after = self._held - self._usage.holdings(item.document.id) + needed
        exceeded = after.exceeds(self._quotas)
        if exceeded is not None:
            return StorageQuotaExceededError(f"the quota {exceeded} is used up", quota=exceeded)
        self._held = after
        return None


def _settle(
    transaction: TenantTransaction,
    principal: Principal,
    prepared: Sequence[_Prepared],
    states: Mapping[str, DocumentState],
) -> tuple[dict[str, _Settled], dict[str, IngestResult]]:
    """Settle who may see each document; those the caller may not write are refused."""
    stored = RightsRepository(transaction).of(list(states))
    settled: dict[str, _Settled] = {}
    refused: dict[str, IngestResult] = {}
    for item in prepared:
        key, before = item.document.id, stored[item.document.id]
        is_free = before.rights.owner is None and states[key].current_version is None
        try:
            after = settle(principal, before.rights, item.document.rights, is_free=is_free)
        except (ForbiddenError, IdTakenError) as error:
            refused[key] = IngestResult(key, "failed", None, 0, error.code, error.message)
            continue
        is_changed = after != before.rights
        settled[key] = _Settled(StoredRights(after, before.number + is_changed), is_changed)
    return settled, refused


def _stale_labels(repository: RightsRepository, current: Mapping[str, int], labelled: Mapping[str, int]) -> list[str]:
    """Let planned rights hold, unless others were set meanwhile; return the documents whose labels are not right."""
    stored = repository.of(list(current))
    planned = repository.planned(current)
    due = {key: item.rights for key, item in planned.items() if item.number == stored[key].number + 1}
    repository.set(due)
    return [key for key in current if stored[key].number + (key in due) != labelled[key]]


def _forgotten(transaction: TenantTransaction, lost: Sequence[Job]) -> list[Job]:
    """Return purges of what was indexed for nothing: its version was deleted while it was being indexed."""
    documents = DocumentRepository(transaction)
    gone = [job for job in lost if documents.version_chunks(job.document_id, job.start) is None]
    return [new_job(job.tenant, "purge", job.document_id, job.start, job.below) for job in gone]


def _rights_to_be(transaction: TenantTransaction, job: Job) -> dict[str, StoredRights]:
    repository = RightsRepository(transaction)
    return repository.of([job.document_id]) | repository.planned({job.document_id: job.start})


def _change_rights(repository: RightsRepository, settled: Mapping[str, _Settled], begun: Sequence[_Begun]) -> None:
    """Change rights at once, but with the new version where it replaces a text that others must not come to see."""
    replacing = {item.job.document_id: item.job.start for item in begun if item.replaces}
    changed = {key: item.after for key, item in settled.items() if item.is_changed}
    repository.set({key: after.rights for key, after in changed.items() if key not in replacing})
    for key in changed.keys() & replacing.keys():
        repository.plan(key, replacing[key], changed[key])


def _begin_version(tenant: TenantId, item: _Prepared, state: DocumentState, rights: StoredRights) -> _Begun:
    source, number = item.document, state.last_version + 1
    document = DocumentVersion(source.id, number, source.title, source.metadata, source.domain)
    chunks = tuple(
        Chunk(
            chunk_id=chunk_id(tenant, source.id, number, ordinal),
            document_id=source.id,
            version=number,
            ordinal=ordinal,
            text=source.text[span.start : span.end],
            headings=span.headings,
            start=span.start,
            end=span.end,
            tokens=span.tokens,
        )
        for ordinal, span in enumerate(item.spans)
    )
    version = NewVersion(document, source.text, item.content_hash, chunks)
    job = new_job(tenant, "index", source.id, number, number + 1)
    return _Begun(version, job, rights, replaces=state.current_version is not None)


def _succeeded(item: _Begun, current: dict[str, int]) -> IngestResult:
    version = item.version
    if current.get(item.job.document_id) != item.job.start:
        message = "a newer version or a deletion of the document came in meanwhile"
        return IngestResult(item.job.document_id, "failed", item.job.start, 0, "superseded", message)
    status = "replaced" if item.replaces else "created"
    return IngestResult(item.job.document_id, status, item.job.start, len(version.chunks))  # type: ignore[arg-type]


def _failed(item: _Begun, error: RagError) -> IngestResult:
    return IngestResult(item.job.document_id, "failed", None, 0, error.code, error.message)
