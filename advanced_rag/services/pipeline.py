"""The pipeline: brings ingestions from the stage they have come to, to their end.

    received → parsed → classified → chunked → embedded → indexed → ready

Every step that counts is one transaction, fenced by the job's row: who lost the job changes nothing any more. Chunk ids are
made from what they stand for, so that writing to the index again writes the same. A crash leaves the job where it was, and
whoever takes it over goes on from there.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any

from advanced_rag.exceptions import EncoderMissingError, JobLostError
from advanced_rag.file_errors import NoTextError
from advanced_rag.models.documents import Chunk, DocumentVersion, TenantId
from advanced_rag.models.jobs import SUPERSEDED, SUPERSEDED_MESSAGE, Job, JobNews, new_job
from advanced_rag.models.parsed import Parsed
from advanced_rag.models.quota import Consumption, Holdings
from advanced_rag.models.rights import Rights
from advanced_rag.services.chunking import Chunker, chunks_of, with_every_page
from advanced_rag.services.index import Index
from advanced_rag.services.pages import PageCapture
from advanced_rag.services.quotas import QuotaService, Room
from advanced_rag.services.reading import FileReader
from advanced_rag.services.removal import Removal
from advanced_rag.services.rights import label_job
from advanced_rag.services.sql import Sql
from advanced_rag.storage.database import TenantTransaction
from advanced_rag.storage.documents import DocumentRepository
from advanced_rag.storage.files import FileStore
from advanced_rag.storage.job_log import JobLog
from advanced_rag.storage.jobs import JobRepository
from advanced_rag.storage.rights import RightsRepository, StoredRights
from advanced_rag.telemetry import metrics
from advanced_rag.telemetry.tracing import stage
from advanced_rag.text.blocks import first_heading

BATCH = 256  # chunks that are embedded and written together


@dataclass(frozen=True, slots=True)
class Work:
    """A version whose chunks are stored and not all indexed yet."""

    job: Job
    document: DocumentVersion
    chunks: Sequence[Chunk]
    rights: StoredRights


@dataclass(frozen=True, slots=True)
class _Ended:
    """The jobs that were ended, the versions that are visible now, what is to be purged, and the outcomes by job."""

    jobs: Sequence[Job]
    current: dict[str, int]
    purges: Sequence[Job]
    outcomes: Mapping[str, str]


class Pipeline:
    """Works on jobs that belong to this process."""

    def __init__(
        self,
        database: Sql,
        index: Index,
        chunker: Chunker,
        reader: FileReader,
        pages: PageCapture | None,
        files: FileStore,
        quotas: QuotaService,
        removal: Removal,
        *,
        owner: str,
        lease_s: float,
    ) -> None:
        self._database = database
        self._index = index
        self._chunker = chunker
        self._reader = reader
        self._pages = pages
        self._files = files
        self._quotas = quotas
        self._removal = removal
        self._owner = owner
        self._lease_s = lease_s

    async def resume(self, jobs: Sequence[Job]) -> None:
        """Bring jobs of one tenant, at one stage, to their end.

        Raises FileError, NoTextError, StorageQuotaExceededError for what will not go better another time, JobLostError,
        and UnavailableError or OverloadedError for what may.
        """
        tenant = jobs[0].tenant
        read = [await self._read(job) if job.stage == "received" else job for job in jobs]
        for part in _apart(read):
            works = await self._database.read(tenant, lambda t, part=part: [_work(t, job) for job in part])  # type: ignore[misc]
            await self.finish(tenant, [work for work in works if work is not None])

    async def finish(self, tenant: TenantId, works: Sequence[Work]) -> dict[str, int]:
        """Index versions of different documents and make them visible; returns the version of each that is current now."""
        works = [await self._looked(work) for work in works]
        with stage("index"):
            await self._write(tenant, works)
        with stage("activate"):
            return await self._activate(tenant, works)

    async def _read(self, job: Job) -> Job:
        """Find out what is in a file, and store it as chunks; returns the job at its new stage."""
        found = await self._database.write(job.tenant, lambda t: self._start(t, job))
        if found is None:
            raise JobLostError("the document was deleted meanwhile")
        document, source = found
        path = await asyncio.to_thread(self._files.find, job.tenant, job.id)
        reading = await self._reader.read(job, path, source)
        parsed, details = reading.parsed, reading.details()
        document = replace(document, title=document.title or parsed.title or _title(parsed, source["name"]))
        with stage("chunk"):
            spans = await asyncio.to_thread(self._chunker.spans, parsed.text, document.title, reading.pages)
        if details["route"] == "visual":
            spans = with_every_page(spans, reading.pages)
        if not spans:
            raise NoTextError
        chunks = chunks_of(job.tenant, job.document_id, job.start, parsed.text, spans)
        known = {**source, **details, "pages": [[page.number, page.start] for page in parsed.pages]}
        after = replace(job, stage="chunked", total=len(chunks), details={**job.details, **details})

        def store(transaction: TenantTransaction) -> None:
            _take_room(transaction, job.document_id, Holdings(1, len(chunks), len(parsed.text.encode())))
            if not DocumentRepository(transaction).fill(document, parsed.text, chunks, known):
                raise JobLostError("the document was deleted meanwhile")
            self._advance(transaction, after)
            news = [
                after.news("running", "parsed", pages=len(parsed.pages), characters=len(parsed.text)),
                after.news("running", "classified", **{name: details[name] for name in ("kind", "route", "rule")}),
                after.news("running", "chunked", chunks=len(chunks)),
            ]
            JobLog(transaction).tell(news)

        with stage("store"):
            await self._database.write(job.tenant, store)
        self._quotas.use(job.tenant, Consumption(0, sum(chunk.tokens for chunk in chunks)))
        return after

    def _start(self, transaction: TenantTransaction, job: Job) -> tuple[DocumentVersion, Mapping[str, Any]] | None:
        self._advance(transaction, job)
        repository = DocumentRepository(transaction)
        found = repository.version_chunks(job.document_id, job.start)
        source = repository.source(job.document_id, job.start)
        JobLog(transaction).tell([job.news("running", "received")])
        return None if found is None or source is None else (found[0], source)

    async def _looked(self, work: Work) -> Work:
        """Look at the pages of a version that goes the visual way; raises EncoderMissingError where that cannot be done."""
        if work.job.details.get("route") != "visual":
            return work
        if self._pages is None:
            raise EncoderMissingError("the pages were to be looked at, and no visual.model is set here")
        with stage("look"):
            path = await asyncio.to_thread(self._files.find, work.job.tenant, work.job.id)
            return replace(work, job=await self._pages.look(work.job, work.chunks, path))

    async def _write(self, tenant: TenantId, works: Sequence[Work]) -> None:
        """Embed and write chunks: small documents together, a large one in parts, noting how far it has come."""
        small = [work for work in works if len(work.chunks) <= BATCH]
        for work in works:
            if len(work.chunks) > BATCH:
                await self._write_in_parts(tenant, work)
        if small:
            rights = {work.job.document_id: work.rights.rights for work in small}
            await self._index.add(tenant, [(work.document, work.chunks) for work in small], rights)

    async def _write_in_parts(self, tenant: TenantId, work: Work) -> None:
        rights: dict[str, Rights] = {work.job.document_id: work.rights.rights}
        for start in range(work.job.done, len(work.chunks), BATCH):
            part = work.chunks[start : start + BATCH]
            await self._index.add(tenant, [(work.document, part)], rights)
            so_far = replace(work.job, done=start + len(part))
            await self._database.write(tenant, lambda t, job=so_far: self._note(t, job))  # type: ignore[misc]

    def _advance(self, transaction: TenantTransaction, job: Job) -> None:
        if not JobRepository(transaction, self._owner).advance(job):
            raise JobLostError("the job went to another worker meanwhile, or was cancelled")

    def _note(self, transaction: TenantTransaction, job: Job) -> None:
        self._advance(transaction, job)
        JobLog(transaction).tell([job.news("running", "chunked", done=job.done, indexed=job.done)])

    async def _activate(self, tenant: TenantId, works: Sequence[Work]) -> dict[str, int]:
        """Make indexed versions visible, as far as the jobs still belong here.

        Where rights have changed since what was written into the index, it is brought up to them by a job.
        """
        ended = await self._database.write(tenant, lambda t: self._activated(t, works))
        for outcome in ended.outcomes.values():
            metrics.DOCUMENTS_INGESTED.labels(outcome).inc()
        for job in ended.jobs:
            await self.discard(job)
        await self._removal.purge_soon(tenant, ended.purges)
        return ended.current

    async def discard(self, job: Job) -> None:
        """Remove the file of a job that has ended."""
        await asyncio.to_thread(self._files.remove, job.tenant, job.id)

    def _activated(self, transaction: TenantTransaction, works: Sequence[Work]) -> "_Ended":
        tenant, jobs, documents = (
            transaction.tenant,
            JobRepository(transaction, self._owner),
            DocumentRepository(transaction),
        )
        owned = jobs.hold([work.job.id for work in works])
        mine = [work for work in works if work.job.id in owned]
        versions = {work.job.document_id: work.job.start for work in mine}
        before = documents.hold(list(versions))
        current = documents.activate(versions)
        won = [work for work in mine if work.job.document_id in current]
        lost = [work for work in mine if work.job.document_id not in current]
        purges = [new_job(tenant, "purge", work.job.document_id, 0, work.job.start) for work in won if work.job.start > 1]
        purges += [new_job(tenant, "purge", work.job.document_id, work.job.start, work.job.below) for work in lost]
        jobs.add(purges, lease_s=self._lease_s)
        stale = _stale_labels(RightsRepository(transaction), current, {w.job.document_id: w.rights.number for w in won})
        jobs.add([label_job(tenant, key, current[key]) for key in stale])
        jobs.add(_forgotten(transaction, [work.job for work in works if work.job.id not in owned]))
        outcomes = {
            work.job.id: "created" if before[work.job.document_id].current_version is None else "replaced" for work in won
        }
        self._end(transaction, won, lost, outcomes)
        return _Ended([work.job for work in mine], current, purges, outcomes)

    def _end(
        self, transaction: TenantTransaction, won: Sequence[Work], lost: Sequence[Work], outcomes: Mapping[str, str]
    ) -> None:
        jobs = JobRepository(transaction, self._owner)
        jobs.ready({work.job.id: {**work.job.details, "outcome": outcomes[work.job.id]} for work in won})
        jobs.fail([work.job.id for work in lost], SUPERSEDED, SUPERSEDED_MESSAGE)
        news = [item for work in won for item in _good_news(work, outcomes[work.job.id])]
        news += [work.job.news("failed", "indexed", code=SUPERSEDED) for work in lost]
        JobLog(transaction).tell(news)


def _apart(jobs: Sequence[Job]) -> list[list[Job]]:
    """Return jobs in parts in which each document stands once, its older versions in earlier ones."""
    parts: list[list[Job]] = []
    met: Counter[str] = Counter()
    for job in sorted(jobs, key=lambda job: job.start):
        if met[job.document_id] == len(parts):
            parts.append([])
        parts[met[job.document_id]].append(job)
        met[job.document_id] += 1
    return parts


def _good_news(work: Work, outcome: str) -> list[JobNews]:
    job = work.job
    return [
        job.news("running", "embedded", chunks=job.total),
        job.news("running", "indexed", chunks=job.total),
        job.news("ready", "ready", outcome=outcome, version=job.start),
    ]


def _title(parsed: Parsed, name: str) -> str:
    """Return what a file is called that does not say so itself; the first heading of many pages names no more than one."""
    heading = None if parsed.pages else first_heading(parsed.text)
    return heading or PurePath(name).stem or name


def _work(transaction: TenantTransaction, job: Job) -> Work | None:
    found = DocumentRepository(transaction).version_chunks(job.document_id, job.start)
    rights = RightsRepository(transaction).of([job.document_id])
    rights |= RightsRepository(transaction).planned({job.document_id: job.start})
    return None if found is None else Work(job, *found, rights[job.document_id])


def _take_room(transaction: TenantTransaction, document_id: str, needed: Holdings) -> None:
    error = Room(transaction).take(document_id, needed)
    if error is not None:
        raise error


def _stale_labels(repository: RightsRepository, current: Mapping[str, int], labelled: Mapping[str, int]) -> list[str]:
    """Let planned rights hold, unless others were set meanwhile; return the documents whose labels are not right."""
    stored = repository.of(list(current))
    planned = repository.planned(current)
    due = {key: item.rights for key, item in planned.items() if item.number == stored[key].number + 1}
    repository.set(due)
    return [key for key in current if stored[key].number + (key in due) != labelled[key]]


def _forgotten(transaction: TenantTransaction, lost: Sequence[Job]) -> list[Job]:
    """Return purges of what was indexed for nothing: its version was deleted or given up while it was being indexed."""
    documents = DocumentRepository(transaction)
    gone = [job for job in lost if not documents.is_wanted(job.document_id, job.start)]
    return [new_job(job.tenant, "purge", job.document_id, job.start, job.below) for job in gone]
