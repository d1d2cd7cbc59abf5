"""What goes by itself when its time has come, and what is left of deleted documents."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import and_, delete, exists, func, or_, select, tuple_, update

from advanced_rag.models.deletion import Tombstone
from advanced_rag.models.documents import Page, TenantId
from advanced_rag.storage.cursors import decode_cursor, encode_cursor
from advanced_rag.storage.database import TenantTransaction, Transaction
from advanced_rag.storage.tables import document_versions, documents, legal_holds


class Tombstones:
    """The deleted documents of one tenant."""

    def __init__(self, transaction: TenantTransaction) -> None:
        self._connection = transaction.connection
        self._tenant = transaction.tenant

    def page(self, limit: int, cursor: str | None) -> Page[Tombstone]:
        """List deleted documents that have not come back, the last deleted first."""
        key = (documents.c.deleted_at, documents.c.id)
        statement = (
            select(*key, documents.c.deleted_by, documents.c.deleted_version)
            .where(documents.c.tenant_id == self._tenant, _is_buried())
            .order_by(*(column.desc() for column in key))
            .limit(limit + 1)
        )
        if cursor is not None:
            statement = statement.where(tuple_(*key) < tuple_(*decode_cursor(cursor)))
        rows = self._connection.execute(statement).all()
        more = rows[limit - 1] if len(rows) > limit else None
        items = [Tombstone(row.id, row.deleted_version, row.deleted_at, row.deleted_by) for row in rows[:limit]]
        return Page(items, encode_cursor(more.deleted_at, more.id) if more else None)

    def due(self, document_ids: Sequence[str], moment: datetime) -> list[str]:
        """Return those of some documents that have expired."""
        found = select(documents.c.id).where(
            documents.c.tenant_id == self._tenant, documents.c.id.in_(document_ids), _has_expired(moment)
        )
        return list(self._connection.execute(found).scalars())


class RetentionBook:
    """What is due in every tenant; a legal hold keeps all of it."""

    def __init__(self, transaction: Transaction) -> None:
        self._connection = transaction.connection

    def drop_beyond(self, keep: int, limit: int) -> int:
        """Delete the superseded versions beyond the newest ones, of so many documents at most; returns how many versions."""
        tenant, document_id, version = _key()
        crowded = (
            select(tenant, document_id)
            .where(_is_superseded(), _is_free(tenant, document_id))
            .group_by(tenant, document_id)
            .having(func.count() > keep)
            .limit(limit)
            .subquery()
        )
        place = func.row_number().over(partition_by=(tenant, document_id), order_by=version.desc())
        ranked = (
            select(*_key(), place.label("place"))
            .join(crowded, (crowded.c.tenant_id == tenant) & (crowded.c.document_id == document_id))
            .where(_is_superseded())
            .subquery()
        )
        return self._drop(select(ranked.c.tenant_id, ranked.c.document_id, ranked.c.version).where(ranked.c.place > keep))

    def drop_older(self, before: datetime, limit: int) -> int:
        """Delete versions that were superseded before a moment."""
        tenant, document_id, _ = _key()
        old = select(*_key()).where(
            _is_superseded(), document_versions.c.superseded_at < before, _is_free(tenant, document_id)
        )
        return self._drop(old.limit(limit))

    def drop_failed(self, before: datetime, limit: int) -> int:
        """Delete versions that were never visible and never will be."""
        failed = select(*_key()).where(
            document_versions.c.state == "failed",
            document_versions.c.created_at < before,
            _is_free(document_versions.c.tenant_id, document_versions.c.document_id),
        )
        return self._drop(failed.limit(limit))

    def expired(self, moment: datetime, limit: int) -> list[tuple[TenantId, str]]:
        """Return documents that have expired, with their tenants."""
        rows = self._connection.execute(
            select(documents.c.tenant_id, documents.c.id)
            .where(_has_expired(moment), _is_free(documents.c.tenant_id, documents.c.id))
            .order_by(documents.c.expires_at)
            .limit(limit)
        )
        return [(TenantId(row.tenant_id), row.id) for row in rows]

    def drop_tombstones(self, before: datetime) -> int:
        """Forget who deleted documents, and when; the floor stays, so that no version from before ever comes back."""
        blank = {"deleted_at": None, "deleted_by": None, "deleted_version": None}
        changed = self._connection.execute(
            update(documents)
            .where(documents.c.deleted_at < before, _is_free(documents.c.tenant_id, documents.c.id))
            .values(blank)
        )
        return changed.rowcount

    def _drop(self, old: Any) -> int:
        gone = delete(document_versions).where(tuple_(*_key()).in_(old)).returning(document_versions.c.version)
        return len(self._connection.execute(gone).all())


def _key() -> tuple[Any, Any, Any]:
    return document_versions.c.tenant_id, document_versions.c.document_id, document_versions.c.version


def _is_superseded() -> Any:
    return document_versions.c.state == "superseded"


def _is_buried() -> Any:
    return and_(documents.c.current_version.is_(None), documents.c.deleted_at.is_not(None))


def _has_expired(moment: datetime) -> Any:
    return and_(documents.c.expires_at <= moment, documents.c.current_version.is_not(None))


def _is_free(tenant: Any, document_id: Any) -> Any:
    """Return the condition that no legal hold keeps a document: its own, its owner's, or its tenant's."""
    own = documents.alias()
    owner = (
        select(own.c.owner).where(own.c.tenant_id == tenant, own.c.id == document_id).correlate_except(own).scalar_subquery()
    )
    column = legal_holds.c
    holds = or_(
        column.kind == "tenant",
        and_(column.kind == "document", column.target == document_id),
        and_(column.kind == "user", column.target == owner),
    )
    return ~exists().where(column.tenant_id == tenant, column.released_at.is_(None), holds)
