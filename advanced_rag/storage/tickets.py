"""Tickets in SQL: each stands for somebody, for a minute, and is taken once."""

from datetime import datetime
from typing import Any

from sqlalchemy import delete, insert

from advanced_rag.models.documents import TenantId
from advanced_rag.models.identity import Principal
from advanced_rag.storage.database import TenantTransaction, Transaction
from advanced_rag.storage.tables import now, tickets


class TicketRepository:
    """The tickets of one tenant."""

    def __init__(self, transaction: TenantTransaction) -> None:
        self._connection = transaction.connection
        self._tenant = transaction.tenant

    def add(self, digest: str, principal: Principal, expires_at: datetime) -> None:
        """Store a ticket, and forget those nobody took in time."""
        self._connection.execute(delete(tickets).where(tickets.c.tenant_id == self._tenant, tickets.c.expires_at < now()))
        self._connection.execute(
            insert(tickets).values(
                digest=digest,
                tenant_id=self._tenant,
                user_id=principal.user_id,
                scopes=sorted(principal.scopes),
                groups=sorted(principal.groups),
                credential=principal.credential,
                expires_at=expires_at,
            )
        )


class TicketBox:
    """The tickets of every tenant, for those who do not know yet whose ticket they hold."""

    def __init__(self, transaction: Transaction) -> None:
        self._connection = transaction.connection

    def take(self, digest: str) -> Principal | None:
        """Take a ticket; None when there is none that is still good."""
        row: Any = self._connection.execute(
            delete(tickets).where(tickets.c.digest == digest).returning(*tickets.c)
        ).one_or_none()
        if row is None or row.expires_at <= now():
            return None
        scopes, groups = frozenset(row.scopes), frozenset(row.groups)
        return Principal(TenantId(row.tenant_id), row.user_id, scopes, groups, row.credential)
