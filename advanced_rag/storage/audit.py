"""The audit log in SQL: entries are added at the end of a tenant's chain; retention alone takes some, from its beginning."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, insert, select

from advanced_rag.models.audit import BEGINNING, Deed, Entry, chain
from advanced_rag.models.documents import Page
from advanced_rag.storage.cursors import decode_cursor, encode_cursor
from advanced_rag.storage.database import TenantTransaction
from advanced_rag.storage.tables import audit_entries, tenants

_PAGE = 1000


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which entries are wanted; None leaves a field open."""

    actor: str | None = None
    action: str | None = None
    outcome: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class AuditRepository:
    """The chain of one tenant."""

    def __init__(self, transaction: TenantTransaction) -> None:
        self._connection = transaction.connection
        self._tenant = transaction.tenant

    def append(self, secret: bytes, deeds: Sequence[Deed]) -> None:
        """Add deeds at the end; writers of one tenant wait for each other."""
        self._connection.execute(select(tenants.c.id).where(tenants.c.id == self._tenant).with_for_update(key_share=True))
        entries = chain(secret, self._last(), deeds)
        self._connection.execute(insert(audit_entries), [self._row(entry) for entry in entries])

    def page(self, wanted: AuditFilter, limit: int, cursor: str | None) -> Page[Entry]:
        """List entries, newest first."""
        statement = select(audit_entries).where(*self._conditions(wanted)).order_by(audit_entries.c.number.desc())
        if cursor is not None:
            _, number = decode_cursor(cursor)
            statement = statement.where(audit_entries.c.number < (int(number) if number.isdigit() else 0))
        rows = self._connection.execute(statement.limit(limit + 1)).all()
        more = rows[limit - 1] if len(rows) > limit else None
        return Page([_entry(row) for row in rows[:limit]], encode_cursor(more.at, str(more.number)) if more else None)

    def all(self) -> Iterator[Entry]:
        """Yield every entry, oldest first."""
        number = 0
        while rows := self._connection.execute(
            select(audit_entries)
            .where(audit_entries.c.tenant_id == self._tenant, audit_entries.c.number > number)
            .order_by(audit_entries.c.number)
            .limit(_PAGE)
        ).all():
            yield from map(_entry, rows)
            number = rows[-1].number

    def expire(self, before: datetime) -> int:
        """Delete what is older than a moment, but never the last entry, on which the next one stands; returns how many."""
        last, _ = self._last()
        expired = delete(audit_entries).where(
            audit_entries.c.tenant_id == self._tenant, audit_entries.c.at < before, audit_entries.c.number < last
        )
        return self._connection.execute(expired).rowcount

    def _last(self) -> tuple[int, str]:
        row = self._connection.execute(
            select(audit_entries.c.number, audit_entries.c.digest)
            .where(audit_entries.c.tenant_id == self._tenant)
            .order_by(audit_entries.c.number.desc())
            .limit(1)
        ).one_or_none()
        return (0, BEGINNING) if row is None else (row.number, row.digest)

    def _conditions(self, wanted: AuditFilter) -> list[Any]:
        column = audit_entries.c
        conditions = [column.tenant_id == self._tenant]
        conditions += [column.actor == wanted.actor] if wanted.actor is not None else []
        conditions += [column.action == wanted.action] if wanted.action is not None else []
        conditions += [column.outcome == wanted.outcome] if wanted.outcome is not None else []
        conditions += [column.at >= wanted.since] if wanted.since is not None else []
        conditions += [column.at < wanted.until] if wanted.until is not None else []
        return conditions

    def _row(self, entry: Entry) -> dict[str, Any]:
        deed = entry.deed
        return {
            "tenant_id": self._tenant,
            "number": entry.number,
            "at": deed.at,
            "actor": deed.actor,
            "credential": deed.credential,
            "action": deed.action,
            "targets": list(deed.targets),
            "origin": deed.origin,
            "outcome": deed.outcome,
            "request_id": deed.request_id,
            "previous": entry.previous,
            "digest": entry.digest,
        }


def _entry(row: Any) -> Entry:
    deed = Deed(
        at=row.at,
        actor=row.actor,
        credential=row.credential,
        action=row.action,
        targets=tuple(row.targets),
        origin=row.origin,
        outcome=row.outcome,
        request_id=row.request_id,
    )
    return Entry(row.number, deed, row.previous, row.digest)
