"""The history of documents in SQL: every version there is of one, and who may look at it."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Row, select, update

from advanced_rag.exceptions import FieldError, InvalidCursorError
from advanced_rag.models.documents import Page, VersionInfo
from advanced_rag.models.identity import Reader
from advanced_rag.models.rights import subjects
from advanced_rag.storage.cursors import decode_cursor, encode_cursor
from advanced_rag.storage.database import TenantTransaction
from advanced_rag.storage.document_rows import version_of
from advanced_rag.storage.documents import DocumentRepository
from advanced_rag.storage.rights import rights_of
from advanced_rag.storage.tables import document_versions, documents, now

_MAX_DIGITS = 9


class VersionRepository:
    """The versions of one tenant's documents.

    A version is shown to those who may see its document now. Those from before its rights were widened are its owner's
    alone, and one that comes with rights of its own is not told of to others before.
    """

    def __init__(self, transaction: TenantTransaction) -> None:
        self._connection = transaction.connection
        self._tenant = transaction.tenant
        self._documents = DocumentRepository(transaction)

    def page(self, document_id: str, limit: int, cursor: str | None, reader: Reader) -> Page[VersionInfo] | None:
        """List the versions of a document, newest first, in pages that may be short; None when there is none to be seen."""
        if not self._documents.find([document_id], reader):
            return None
        statement = self._of(document_id).order_by(document_versions.c.version.desc()).limit(limit + 1)
        if cursor is not None:
            statement = statement.where(document_versions.c.version < _decoded(cursor))
        rows = self._connection.execute(statement).all()
        more = rows[limit - 1] if len(rows) > limit else None
        shown = [_info(row) for row in rows[:limit] if _is_open(row, reader)]
        return Page(shown, encode_cursor(more.created_at, str(more.version)) if more else None)

    def get(self, document_id: str, version: int, reader: Reader) -> VersionInfo | None:
        """Return a version that is or was visible, with its text; None when there is none to be seen."""
        if not self._documents.find([document_id], reader):
            return None
        row = self._connection.execute(
            self._of(document_id, document_versions.c.text).where(
                document_versions.c.version == version, document_versions.c.state.in_(["current", "superseded"])
            )
        ).one_or_none()
        return None if row is None or not _is_open(row, reader) else _info(row, row.text)

    def describe(self, document_id: str, version: int, metadata: Mapping[str, Any], content_hash: str) -> None:
        """Replace the metadata of a version, and the hash that they are a part of."""
        self._connection.execute(
            update(document_versions)
            .where(
                document_versions.c.tenant_id == self._tenant,
                document_versions.c.document_id == document_id,
                document_versions.c.version == version,
            )
            .values(metadata=dict(metadata), content_hash=content_hash)
        )
        self._connection.execute(
            update(documents)
            .where(documents.c.tenant_id == self._tenant, documents.c.id == document_id)
            .values(updated_at=now())
        )

    def _of(self, document_id: str, *extra: Any) -> Any:
        return select(
            document_versions.c.document_id,
            document_versions.c.version,
            document_versions.c.state,
            document_versions.c.content_hash,
            document_versions.c.title,
            document_versions.c.metadata.label("document_metadata"),
            document_versions.c.domain,
            document_versions.c.chunk_count,
            document_versions.c.bytes,
            document_versions.c.rights,
            document_versions.c.source,
            document_versions.c.created_at,
            documents.c.owner,
            documents.c.history_from,
            *extra,
        ).where(
            documents.c.tenant_id == self._tenant,
            documents.c.id == document_id,
            document_versions.c.tenant_id == documents.c.tenant_id,
            document_versions.c.document_id == documents.c.id,
        )


def _is_open(row: Row[Any], reader: Reader) -> bool:
    if row.state == "current" or reader.subjects is None:
        return True
    if row.owner is not None and subjects([row.owner], ()) <= reader.subjects:
        return True
    planned = None if row.rights is None or row.state == "superseded" else rights_of(row.rights).rights
    return row.version >= row.history_from and (planned is None or planned.are_open_to(reader.subjects))


def _decoded(cursor: str) -> int:
    _, version = decode_cursor(cursor)
    if not (version.isascii() and version.isdecimal() and len(version) <= _MAX_DIGITS):
        message = "not a cursor of this listing"
        raise InvalidCursorError(message, fields=[FieldError("cursor", "invalid_cursor", message)])
    return int(version)


def _info(row: Row[Any], text: str = "") -> VersionInfo:
    return VersionInfo(
        document=version_of(row),
        state=row.state,
        chunks=row.chunk_count,
        bytes=row.bytes,
        created_at=row.created_at,
        content_hash=row.content_hash,
        source=row.source,
        text=text,
    )
