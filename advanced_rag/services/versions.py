"""The history of documents: looked at, brought back, and changed in what need not be embedded again."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from advanced_rag.exceptions import ConflictError, NotFoundError
from advanced_rag.models.documents import DocumentInput, DocumentVersion, IngestResult, Origin, Page, VersionInfo
from advanced_rag.models.identity import Principal
from advanced_rag.models.jobs import Job
from advanced_rag.services.intake import PARSER, content_of_file, fingerprint
from advanced_rag.services.rights import RightsService, label_job
from advanced_rag.services.sql import Sql
from advanced_rag.storage.database import TenantTransaction
from advanced_rag.storage.documents import DocumentRepository, DocumentState
from advanced_rag.storage.job_log import JobLog
from advanced_rag.storage.jobs import JobRepository
from advanced_rag.storage.versions import VersionRepository


class VersionService:
    """Tells of versions, and says what is to be ingested to change a document or to bring one of them back."""

    def __init__(self, database: Sql, rights: RightsService, *, owner: str, lease_s: float) -> None:
        self._database = database
        self._rights = rights
        self._owner = owner
        self._lease_s = lease_s

    async def page(self, principal: Principal, document_id: str, limit: int, cursor: str | None) -> Page[VersionInfo]:
        """List the versions of a document, newest first; raises NotFoundError."""
        found = await self._database.read(
            principal.tenant, lambda t: VersionRepository(t).page(document_id, limit, cursor, principal.reader)
        )
        if found is None:
            raise NotFoundError("no such document")
        return found

    async def get(self, principal: Principal, document_id: str, version: int) -> VersionInfo:
        """Return a version that is or was visible, with its text; raises NotFoundError."""
        return await self._database.read(principal.tenant, lambda t: _version(t, principal, document_id, version))

    async def restored(self, principal: Principal, document_id: str, version: int) -> DocumentInput:
        """Return a version as what is to be ingested to bring it back; raises NotFoundError."""

        def look(transaction: TenantTransaction) -> DocumentInput:
            # First where it stands: what changes after that is noticed when the version is taken in.
            state = DocumentRepository(transaction).states([document_id]).get(document_id)
            found = _version(transaction, principal, document_id, version)
            if state is None:
                raise NotFoundError("no such version")
            document = replace(found.document, metadata=_as_told(found.document.metadata))
            return _again(document, found, state, found.content_hash)

        return await self._database.read(principal.tenant, look)

    async def change(
        self, principal: Principal, document_id: str, changes: Mapping[str, Any]
    ) -> IngestResult | DocumentInput:
        """Change any of ``title``, ``metadata`` and ``domain`` of a document.

        Metadata alone are changed at once, and the index is told of them; for the others, returns what is to be ingested.
        Raises NotFoundError, ConflictError while a new version is on its way.
        """

        def change(transaction: TenantTransaction) -> tuple[IngestResult | DocumentInput, Job | None]:
            return self._change(transaction, principal, document_id, changes)

        answer, job = await self._database.write(principal.tenant, change)
        if job is not None:
            await self._rights.label_soon(job)
        return answer

    def _change(
        self, transaction: TenantTransaction, principal: Principal, document_id: str, changes: Mapping[str, Any]
    ) -> tuple[IngestResult | DocumentInput, Job | None]:
        state = DocumentRepository(transaction).hold([document_id]).get(document_id)
        current = state.current_version if state is not None else None
        found = VersionRepository(transaction).get(document_id, current, principal.reader) if current is not None else None
        if state is None or found is None:
            raise NotFoundError("no such document")
        if JobLog(transaction).coming([document_id]):
            raise ConflictError("a new version of the document is on its way")
        before = replace(found.document, metadata=_as_told(found.document.metadata))
        after = replace(before, **changes)
        told, content = _told(found, before)
        title = told if after.title == before.title else after.title
        hashed = fingerprint(title, content, after.metadata, after.domain)
        if hashed == fingerprint(told, content, before.metadata, before.domain):
            return IngestResult(document_id, "unchanged", before.version, found.chunks), None
        if (after.title, after.domain) != (before.title, before.domain):
            return _again(after, found, state, hashed), None
        VersionRepository(transaction).describe(document_id, before.version, after.metadata, hashed)
        job = label_job(transaction.tenant, document_id, before.version)
        JobRepository(transaction, self._owner).add([job], lease_s=self._lease_s)
        return IngestResult(document_id, "updated", before.version, found.chunks), job


def _version(transaction: TenantTransaction, principal: Principal, document_id: str, version: int) -> VersionInfo:
    found = VersionRepository(transaction).get(document_id, version, principal.reader)
    if found is None:
        raise NotFoundError("no such version")
    return found


def _as_told(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return metadata as JSON tells them: PostgreSQL gives a large number back that was not told as an integer."""
    parsed: dict[str, Any] = orjson.loads(json.dumps(metadata))
    return parsed


def _again(document: DocumentVersion, found: VersionInfo, state: DocumentState, content_hash: str) -> DocumentInput:
    """Return a text that was stored before as what is to be ingested."""
    current = state.current_version or 0
    origin = Origin(found.document.version, content_hash, found.source, current, state.content_hash, state.last_version)
    return DocumentInput(document.document_id, document.title, found.text, document.metadata, document.domain, origin=origin)


def _told(found: VersionInfo, document: DocumentVersion) -> tuple[str, str]:
    """Return the title a version was told with, which files may lack, and what stands for its content in its hash.

    A hash that was made in another way stands for itself: what comes again with the same content is taken for changed.
    """
    content = content_of_file(found.source.get("reading", PARSER), found.source["sha256"]) if found.source else found.text
    for title in (document.title, ""):
        if fingerprint(title, content, document.metadata, document.domain) == found.content_hash:
            return title, content
    return document.title, found.content_hash
