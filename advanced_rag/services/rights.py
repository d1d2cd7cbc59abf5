"""Rights of documents: SQL's word counts at once, the index is brought up to it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from advanced_rag.exceptions import ForbiddenError, IdTakenError, NotFoundError, RagError
from advanced_rag.models.documents import Chunk, DocumentVersion, TenantId
from advanced_rag.models.identity import Principal
from advanced_rag.models.jobs import Job, new_job
from advanced_rag.models.rights import Rights
from advanced_rag.services.index import Index
from advanced_rag.services.sql import Sql
from advanced_rag.storage.database import TenantTransaction
from advanced_rag.storage.documents import DocumentRepository
from advanced_rag.storage.jobs import JobRepository
from advanced_rag.storage.rights import RightsRepository, StoredRights
from advanced_rag.telemetry.logs import get_logger

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Current:
    """What the index should say of a document; number of the rights and hash tell whether that has changed since."""

    document: DocumentVersion
    chunks: Sequence[Chunk]
    stored: StoredRights
    content_hash: str


class RightsService:
    """Tells and changes who may see a document."""

    def __init__(self, database: Sql, index: Index, *, owner: str, lease_s: float) -> None:
        self._database = database
        self._index = index
        self._owner = owner
        self._lease_s = lease_s

    async def of(self, principal: Principal, document_id: str) -> Rights:
        """Return the rights of a document; raises NotFoundError for one the caller may not see."""
        return await self._database.read(principal.tenant, lambda t: _rights(t, principal, document_id))

    async def change(self, principal: Principal, document_id: str, wanted: Rights) -> Rights:
        """Say who may see a document from now on; its owner stays.

        Raises NotFoundError for a document the caller may not see, ForbiddenError when he may not decide about it.
        """

        def change(transaction: TenantTransaction) -> tuple[Rights, Job]:
            states = DocumentRepository(transaction).hold([document_id])
            before = _rights(transaction, principal, document_id)
            if not may_decide(principal, before):
                raise ForbiddenError("only its owner decides who sees a document")
            after = replace(wanted, owner=before.owner)
            RightsRepository(transaction).set({document_id: after})
            job = label_job(principal.tenant, document_id, states[document_id].current_version or 0)
            JobRepository(transaction, self._owner).add([job], lease_s=self._lease_s)
            return after, job

        after, job = await self._database.write(principal.tenant, change)
        await self.label_soon(job)
        return after

    async def label(self, job: Job) -> None:
        """Write a document's current rights and metadata into the index, until they are still so afterwards."""
        done = False
        while not done:
            now = await self._database.read(job.tenant, lambda t: _current(t, job.document_id))
            if now is not None:
                await self._index.relabel(job.tenant, now.document, now.chunks, now.stored.rights)
            done = await self._database.write(job.tenant, lambda t: self._finish(t, job, now))  # noqa: B023

    async def label_soon(self, job: Job) -> None:
        """Bring the index up to date at once; what cannot be done now stays queued."""
        try:
            await self.label(job)
        except RagError as error:
            _log.warning("labels_postponed", code=error.code)

    def _finish(self, transaction: TenantTransaction, job: Job, written: _Current | None) -> bool:
        """End the job unless something changed meanwhile; what was written of a replaced version is purged."""
        state = DocumentRepository(transaction).hold([job.document_id]).get(job.document_id)
        now = RightsRepository(transaction).of([job.document_id]).get(job.document_id)
        if written is not None:
            replaced = written.document.version
            if state is None or now is None or replaced != state.current_version:
                purge = new_job(job.tenant, "purge", job.document_id, replaced, replaced + 1)
                JobRepository(transaction, self._owner).add([purge])
            elif (now.number, state.content_hash) != (written.stored.number, written.content_hash):
                return False
        JobRepository(transaction, self._owner).finish([job.id])
        return True


def may_decide(principal: Principal, rights: Rights) -> bool:
    """Tell whether somebody may change the rights of a document he sees."""
    return principal.may("documents:all") or rights.owner == principal.user_id


def settle(principal: Principal, before: Rights, wanted: Rights | None, *, is_free: bool) -> Rights:
    """Return a document's rights after somebody ingested it; ``is_free`` is an id nobody uses.

    Raises IdTakenError when it is used for a document he may not see, ForbiddenError when he may not change its rights.
    """
    if is_free:
        return replace(wanted or Rights(), owner=principal.user_id)
    if not before.are_open_to(principal.reader.subjects):
        raise IdTakenError("this id cannot be used")
    after = before if wanted is None else replace(wanted, owner=before.owner)
    if after != before and not may_decide(principal, before):
        raise ForbiddenError("only its owner decides who sees a document")
    return after


def label_job(tenant: TenantId, document_id: str, version: int) -> Job:
    """Return the job that brings the index up to the rights of a document."""
    return new_job(tenant, "label", document_id, version, version)


def _rights(transaction: TenantTransaction, principal: Principal, document_id: str) -> Rights:
    if DocumentRepository(transaction).get(document_id, principal.reader) is None:
        raise NotFoundError("no such document")
    return RightsRepository(transaction).of([document_id])[document_id].rights


def _current(transaction: TenantTransaction, document_id: str) -> _Current | None:
    state = DocumentRepository(transaction).states([document_id]).get(document_id)
    stored = RightsRepository(transaction).of([document_id]).get(document_id)
    if state is None or stored is None or state.current_version is None or state.content_hash is None:
        return None
    found = DocumentRepository(transaction).version_chunks(document_id, state.current_version)
    return None if found is None else _Current(*found, stored, state.content_hash)
