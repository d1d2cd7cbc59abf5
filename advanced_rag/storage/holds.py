"""Legal holds and receipts in SQL."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import and_, insert, or_, select, update

from advanced_rag.models.holds import Hold, HoldKind, Receipt
from advanced_rag.storage.database import TenantTransaction
from advanced_rag.storage.tables import legal_holds, now, receipts

_MOST = 1000


class HoldRepository:
    """The legal holds of one tenant."""

    def __init__(self, transaction: TenantTransaction) -> None:
        self._connection = transaction.connection
        self._tenant = transaction.tenant

    def add(self, kind: HoldKind, target: str, reason: str, created_by: str) -> Hold:
        """Store a hold."""
        hold = Hold(str(uuid.uuid4()), kind, target, reason, created_by, now())
        self._connection.execute(
            insert(legal_holds).values(
                id=hold.id,
                tenant_id=self._tenant,
                kind=kind,
                target=target,
                reason=reason,
                created_by=created_by,
                created_at=hold.created_at,
            )
        )
        return hold

    def release(self, hold_id: str) -> bool:
        """End a hold; False when there is none."""
        changed = self._connection.execute(
            update(legal_holds)
            .where(legal_holds.c.tenant_id == self._tenant, legal_holds.c.id == hold_id, legal_holds.c.released_at.is_(None))
            .values(released_at=now())
        )
        return changed.rowcount > 0

    def all(self) -> list[Hold]:
        """Return holds, newest first, those that were released too; a thousand at most."""
        rows = self._connection.execute(
            select(legal_holds)
            .where(legal_holds.c.tenant_id == self._tenant)
            .order_by(legal_holds.c.created_at.desc())
            .limit(_MOST)
        )
        return [_hold(row) for row in rows]

    def is_held(self, *, document_id: str | None = None, user_id: str | None = None) -> bool:
        """Tell whether a document, what is a user's, or everything must not be deleted."""
        column = legal_holds.c
        wanted = [column.kind == "tenant"]
        if document_id is not None:
            wanted.append(and_(column.kind == "document", column.target == document_id))
        if user_id is not None:
            wanted.append(and_(column.kind == "user", column.target == user_id))
        found = (
            select(column.id).where(column.tenant_id == self._tenant, column.released_at.is_(None), or_(*wanted)).limit(1)
        )
        return self._connection.execute(found).first() is not None

    def kept(self, owners: Mapping[str, str | None]) -> set[str]:
        """Return which of some documents, given with their owners, must not be deleted."""
        column = legal_holds.c
        users = [owner for owner in owners.values() if owner is not None]
        rows = self._connection.execute(
            select(column.kind, column.target).where(
                column.tenant_id == self._tenant,
                column.released_at.is_(None),
                or_(
                    column.kind == "tenant",
                    and_(column.kind == "document", column.target.in_(list(owners))),
                    and_(column.kind == "user", column.target.in_(users)),
                ),
            )
        )
        held = {(row.kind, row.target) for row in rows}
        if any(kind == "tenant" for kind, _ in held):
            return set(owners)
        return {key for key, owner in owners.items() if ("document", key) in held or ("user", owner) in held}


class ReceiptRepository:
    """The receipts of one tenant."""

    def __init__(self, transaction: TenantTransaction) -> None:
        self._connection = transaction.connection
        self._tenant = transaction.tenant

    def add(self, receipt: Receipt) -> None:
        """Store a receipt."""
        self._connection.execute(
            insert(receipts).values(
                id=receipt.id,
                tenant_id=self._tenant,
                kind=receipt.kind,
                target=receipt.target,
                forgotten_by=receipt.forgotten_by,
                at=receipt.at,
                removed=dict(receipt.removed),
                left=dict(receipt.left),
                digest=receipt.digest,
            )
        )

    def settle(self, receipt: Receipt) -> None:
        """Say what was removed and what was left, now that the stores were asked."""
        self._connection.execute(
            update(receipts)
            .where(receipts.c.tenant_id == self._tenant, receipts.c.id == receipt.id)
            .values(removed=dict(receipt.removed), left=dict(receipt.left), digest=receipt.digest)
        )

    def has(self, receipt_id: str) -> bool:
        """Tell whether a receipt is there."""
        found = select(receipts.c.id).where(receipts.c.tenant_id == self._tenant, receipts.c.id == receipt_id)
        return self._connection.execute(found).first() is not None

    def between(self, since: datetime | None, until: datetime | None) -> list[Receipt]:
        """Return the receipts of a period, newest first; a thousand at most."""
        statement = select(receipts).where(receipts.c.tenant_id == self._tenant).order_by(receipts.c.at.desc()).limit(_MOST)
        if since is not None:
            statement = statement.where(receipts.c.at >= since)
        if until is not None:
            statement = statement.where(receipts.c.at < until)
        return [_receipt(row) for row in self._connection.execute(statement)]


def _hold(row: Any) -> Hold:
    return Hold(row.id, row.kind, row.target, row.reason, row.created_by, row.created_at, row.released_at)


def _receipt(row: Any) -> Receipt:
    return Receipt(row.id, row.kind, row.target, row.forgotten_by, row.at, row.removed, row.left, row.digest)
