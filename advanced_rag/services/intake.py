"""The way in: one transaction takes documents as new versions, invisible, each with a job that says it must be finished."""

import asyncio
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Any, Literal

import orjson

from advanced_rag.exceptions import (
    ConflictError,
    ForbiddenError,
    IdTakenError,
    KeyReusedError,
    RagError,
)
from advanced_rag.file_errors import NoTextError
from advanced_rag.models.documents import DocumentInput, DocumentVersion, Origin, Source, Span
from advanced_rag.models.identity import Principal
from advanced_rag.models.jobs import Job, JobNews, JobState, Stage
from advanced_rag.models.parsed import PageStart
from advanced_rag.models.quota import Holdings
from advanced_rag.models.routing import OTHERWISE
from advanced_rag.services.chunking import Chunker, chunks_of, with_every_page
from advanced_rag.services.quotas import Room
from advanced_rag.services.rights import label_job, settle
from advanced_rag.services.sql import Sql
from advanced_rag.storage.database import TenantTransaction
from advanced_rag.storage.document_rows import NewVersion
from advanced_rag.storage.documents import DocumentRepository, DocumentState
from advanced_rag.storage.idempotency import Answered, IdempotencyRepository
from advanced_rag.storage.ids import content_hash
from advanced_rag.storage.job_log import Coming, JobLog
from advanced_rag.storage.jobs import JobRepository
from advanced_rag.storage.pages import PageRepository
from advanced_rag.storage.rights import RightsRepository, StoredRights
from advanced_rag.telemetry.tracing import stage

PARSER = "1"  # files are taken for changed when what is made of them is
_KEY_LIFETIME = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class RequestKey:
    """What tells a request that is repeated from another one: digests of its key and of all it says."""

    digest: str
    body_digest: str


@dataclass(frozen=True, slots=True)
class Admitted:
    """What a document was answered at the door."""

    document_id: str
    job_id: str
    status: Literal["queued", "unchanged", "failed"]
    version: int | None = None
    chunks: int = 0
    error_code: str | None = None
    error_message: str | None = None


@dataclass(frozen=True, slots=True)
class Begun:
    """A version that is stored and not visible yet."""

    version: NewVersion
    job: Job
    rights: StoredRights
    replaces: bool


@dataclass(slots=True)
class Intaken:
    """What became of some documents, and of which of them there is more to do."""

    admitted: list[Admitted] = field(default_factory=list)
    begun: list[Begun] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A document with what can be known of it without the database."""

    document: DocumentInput
    job_id: str
    content_hash: str
    spans: list[Span]


@dataclass(frozen=True, slots=True)
class _Settled:
    """The rights of a document after this ingestion."""

    after: StoredRights
    is_changed: bool


class Intake:
    """Takes documents in; ``seen_by`` is the fingerprint of what looks at their pages."""

    def __init__(self, database: Sql, chunker: Chunker, *, owner: str, lease_s: float, seen_by: str | None = None) -> None:
        self._database = database
        self._chunker = chunker
        self._owner = owner
        self._lease_s = lease_s
        self._reading = f"{PARSER} {seen_by}" if seen_by else PARSER

    async def take(
        self, principal: Principal, documents: Sequence[DocumentInput], *, here: bool, key: RequestKey | None = None
    ) -> Intaken:
        """Take documents with different ids in; they are finished ``here``, by the caller, or by whoever claims their jobs.

        A document that is refused is refused alone. Raises KeyReusedError.
        """
        with stage("chunk"):
            prepared = [await asyncio.to_thread(self._prepare, document) for document in documents]
        with stage("store"):
            try:
                return await self._database.write(principal.tenant, lambda t: self._take(t, principal, prepared, key, here))
            except ConflictError:
                if key is None:
                    raise
                # The same request came twice at once: the other one was faster.
                return await self._database.write(principal.tenant, lambda t: self._take(t, principal, prepared, key, here))

    async def answered(self, principal: Principal, key: RequestKey) -> Intaken | None:
        """Return what a request was answered before, if it was; raises KeyReusedError."""
        before = await self._database.read(principal.tenant, lambda t: IdempotencyRepository(t).find(key.digest))
        return None if before is None else _repeated(key, before)

    def _prepare(self, document: DocumentInput) -> _Prepared:
        if (source := document.source) is not None:
            content = content_of_file(self._reading, source.sha256)
            told = fingerprint(document.title, content, document.metadata, document.domain)
            return _Prepared(document, source.job_id, told, [])
        origin = document.origin
        if origin is not None:
            return _Prepared(document, str(uuid.uuid4()), origin.content_hash, self._spans_again(document, origin))
        told = fingerprint(document.title, document.text, document.metadata, document.domain)
        spans = self._chunker.spans(document.text, document.title)
        return _Prepared(document, str(uuid.uuid4()), told, spans)

    def _spans_again(self, document: DocumentInput, origin: Origin) -> list[Span]:
        pages = _pages(origin.source)
        spans = self._chunker.spans(document.text, document.title, pages)
        return with_every_page(spans, pages) if origin.has_pages_seen else spans

    def _take(
        self,
        transaction: TenantTransaction,
        principal: Principal,
        prepared: Sequence[_Prepared],
        key: RequestKey | None,
        here: bool,  # noqa: FBT001 - private
    ) -> Intaken:
        if key is not None and (before := IdempotencyRepository(transaction).find(key.digest)) is not None:
            return _repeated(key, before)
        taken = self._begin(transaction, principal, prepared, here)
        if key is not None:
            answer = {"documents": [asdict(item) for item in taken.admitted]}
            IdempotencyRepository(transaction).keep(key.digest, Answered(key.body_digest, answer), _KEY_LIFETIME)
        return taken

    def _begin(
        self,
        transaction: TenantTransaction,
        principal: Principal,
        prepared: Sequence[_Prepared],
        here: bool,  # noqa: FBT001 - private
    ) -> Intaken:
        repository, jobs = DocumentRepository(transaction), JobRepository(transaction, self._owner)
        states = repository.lock([item.document.id for item in prepared])
        settled, refused = _settle(transaction, principal, prepared, states)
        coming = JobLog(transaction).coming(list(states))
        room = Room(transaction)
        taken = Intaken()
        labels: list[Job] = []
        for item in prepared:
            key, state = item.document.id, states[item.document.id]
            error = refused.get(key) or _unfit(item, state)
            answer = _unchanged(item, state, coming.get(key))
            if answer is None and not here and error is None and not settled[key].is_changed:
                answer = _under_way(principal, item, coming.get(key))
            if error is None and answer is None:
                error = _no_room(room, item)
            if error is not None:
                settled.pop(key, None)
                taken.admitted.append(_refused(item, error))
            elif answer is not None:
                taken.admitted.append(answer)
                if settled[key].is_changed:
                    labels.append(label_job(transaction.tenant, key, state.current_version or 0))
            else:
                taken.begun.append(_begin_version(principal, item, state, settled[key].after, self._reading))
                taken.admitted.append(Admitted(key, item.job_id, "queued", state.last_version + 1, len(item.spans)))
        repository.add_versions([item.version for item in taken.begun])
        _carry_pages(transaction, prepared, taken.begun)
        jobs.add([item.job for item in taken.begun], lease_s=self._lease_s if here else None)
        jobs.add(labels)
        _change_rights(RightsRepository(transaction), settled, taken.begun)
        self._tell(transaction, principal, taken, here)
        return taken

    def _tell(self, transaction: TenantTransaction, principal: Principal, taken: Intaken, here: bool) -> None:  # noqa: FBT001
        log = JobLog(transaction)
        if not here:
            log.add_ended([_ended(transaction, principal, item) for item in taken.admitted if item.status != "queued"])
        state: JobState = "running" if here else "queued"
        log.tell([news for item in taken.begun for news in _news(item, state)])


def _repeated(key: RequestKey, before: Answered) -> Intaken:
    if before.body_digest != key.body_digest:
        raise KeyReusedError("this idempotency key was used for another request")
    return Intaken([Admitted(**item) for item in before.answer["documents"]])


def fingerprint(title: str, content: str, metadata: Mapping[str, Any], domain: str | None) -> str:
    """Return the hash that tells whether a document is what it was; ``title`` is the one that was told, if any."""
    return content_hash(title, content, orjson.dumps(metadata, option=orjson.OPT_SORT_KEYS).decode(), domain or "")


def content_of_file(reading: str, sha256: str) -> str:
    """Return what stands for the content of a file in fingerprints; ``reading`` names what it was read by."""
    return f"file {reading} {sha256}"


def _pages(source: Mapping[str, Any] | None) -> list[PageStart]:
    """Return where the pages of a file begin, as it is known since it was read."""
    known = source or {}
    pages = [PageStart(number, start) for number, start in known.get("pages", ())]
    return pages or ([PageStart(1, 0)] if known.get("route") == "visual" else [])


def _unfit(item: _Prepared, state: DocumentState) -> RagError | None:
    """Tell why a text that was stored before cannot be taken again."""
    origin = item.document.origin
    if origin is None:
        return None
    now = (state.current_version, state.content_hash, state.last_version)
    if (origin.current, origin.current_hash, origin.last) != now:
        return ConflictError("the document was changed or deleted meanwhile")
    return None if item.spans else NoTextError()


def _carry_pages(transaction: TenantTransaction, prepared: Sequence[_Prepared], begun: Sequence[Begun]) -> None:
    """Take the vectors of pages along, where a version is made of another one."""
    origins = {item.document.id: item.document.origin for item in prepared}
    for item in begun:
        origin = origins[item.job.document_id]
        if origin is not None and origin.has_pages_seen:
            PageRepository(transaction).carry(item.job.document_id, origin.version, item.job.start)


def _unchanged(item: _Prepared, state: DocumentState, coming: Coming | None) -> Admitted | None:
    """Answer for a document that is what it was, and stays so: a version on its way would replace what came last."""
    if coming is not None or state.content_hash != item.content_hash:
        return None
    return Admitted(item.document.id, item.job_id, "unchanged", state.current_version, state.chunks)


def _under_way(principal: Principal, item: _Prepared, coming: Coming | None) -> Admitted | None:
    """Answer for a document that the same caller sent before, and that is not ready yet: its job is this one's too."""
    if coming is None or (coming.content_hash, coming.user_id) != (item.content_hash, principal.user_id):
        return None
    return Admitted(item.document.id, coming.job_id, "queued", coming.version, coming.chunks)


def _no_room(room: Room, item: _Prepared) -> RagError | None:
    size = item.document.source.bytes if item.document.source else len(item.document.text.encode())
    return room.take(item.document.id, Holdings(1, len(item.spans), size))


def _settle(
    transaction: TenantTransaction,
    principal: Principal,
    prepared: Sequence[_Prepared],
    states: Mapping[str, DocumentState],
) -> tuple[dict[str, _Settled], dict[str, RagError]]:
    """Settle who may see each document; those the caller may not write are refused."""
    stored = RightsRepository(transaction).of(list(states))
    settled: dict[str, _Settled] = {}
    refused: dict[str, RagError] = {}
    for item in prepared:
        key, before = item.document.id, stored[item.document.id]
        is_free = before.rights.owner is None and states[key].current_version is None
        try:
            after = settle(principal, before.rights, item.document.rights, is_free=is_free)
        except (ForbiddenError, IdTakenError) as error:
            refused[key] = error
            continue
        is_changed = after != before.rights
        settled[key] = _Settled(StoredRights(after, before.number + is_changed), is_changed)
    return settled, refused


def _change_rights(repository: RightsRepository, settled: Mapping[str, _Settled], begun: Sequence[Begun]) -> None:
    """Change rights at once, but with the new version where it replaces a text that others must not come to see."""
    replacing = {item.job.document_id: item.job.start for item in begun if item.replaces}
    changed = {key: item.after for key, item in settled.items() if item.is_changed}
    repository.set({key: after.rights for key, after in changed.items() if key not in replacing})
    for key in changed.keys() & replacing.keys():
        repository.plan(key, replacing[key], changed[key])


def _begin_version(principal: Principal, item: _Prepared, state: DocumentState, rights: StoredRights, reading: str) -> Begun:
    given, number, tenant = item.document, state.last_version + 1, principal.tenant
    document = DocumentVersion(given.id, number, given.title, given.metadata, given.domain)
    chunks = chunks_of(tenant, given.id, number, given.text, item.spans)
    source = given.origin.source if given.origin else _told_of(given.source, reading)
    version = NewVersion(document, given.text, item.content_hash, chunks, source)
    job = Job(
        id=item.job_id,
        tenant=tenant,
        kind="ingest",
        document_id=given.id,
        start=number,
        below=number + 1,
        user_id=principal.user_id,
        stage="received" if given.source else "chunked",
        total=len(chunks),
        details=_known_of(given.source),
        priority=given.priority,
    )
    return Begun(version, job, rights, replaces=state.current_version is not None)


def _known_of(source: Source | None) -> dict[str, Any]:
    if source is None:
        return {"route": OTHERWISE.route, "rule": OTHERWISE.rule}
    return {"name": source.name, "sha256": source.sha256}


def _told_of(source: Source | None, reading: str) -> dict[str, Any] | None:
    if source is None:
        return None
    return {"name": source.name, "bytes": source.bytes, "sha256": source.sha256, "reading": reading}


def _refused(item: _Prepared, error: RagError) -> Admitted:
    return Admitted(item.document.id, item.job_id, "failed", error_code=error.code, error_message=error.message)


def _ended(transaction: TenantTransaction, principal: Principal, item: Admitted) -> tuple[Job, JobState, dict[str, object]]:
    """Return the job of a document there is nothing to do for, so that whoever asks for it is answered."""
    number = item.version or 0
    is_ready = item.status == "unchanged"
    reached: Stage = "ready" if is_ready else "received"
    job = Job(
        id=item.job_id,
        tenant=transaction.tenant,
        kind="ingest",
        document_id=item.document_id,
        start=number,
        below=number,
        user_id=principal.user_id,
        stage=reached,
        done=item.chunks,
        total=item.chunks,
    )
    if is_ready:
        return job, "ready", {"outcome": "unchanged"}
    return job, "failed", {"code": item.error_code, "message": item.error_message}


def _news(item: Begun, state: JobState) -> Iterator[JobNews]:
    yield item.job.news(state, "received")
    if item.job.stage == "chunked":
        yield item.job.news(state, "chunked", chunks=item.job.total)
