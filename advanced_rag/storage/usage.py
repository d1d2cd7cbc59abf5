"""What tenants hold and use, in SQL."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import date
from typing import Any

from sqlalchemy import and_, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from advanced_rag.models.documents import TenantId
from advanced_rag.models.quota import Consumption, Holdings, Quotas
from advanced_rag.storage.database import TenantTransaction, Transaction
from advanced_rag.storage.tables import document_versions, documents, tenants, usage_days


class UsageRepository:
    """The quotas and the use of one tenant."""

    def __init__(self, transaction: TenantTransaction) -> None:
        self._connection = transaction.connection
        self._tenant = transaction.tenant

    def quotas(self, *, lock: bool = False) -> Quotas:
        """Return what the tenant may; ``lock`` lets those who would use it up take turns."""
        statement = select(tenants.c.quotas).where(tenants.c.id == self._tenant)
        found = self._connection.execute(statement).scalar_one_or_none()
        if lock and found:
            self._connection.execute(statement.with_for_update(key_share=True))
        return Quotas(**(found or {}))

    def set_quotas(self, quotas: Quotas) -> None:
        """Say what the tenant may from now on."""
        self._connection.execute(update(tenants).where(tenants.c.id == self._tenant).values(quotas=asdict(quotas)))

    def holdings(self, document_id: str | None = None) -> Holdings:
        """Return what the tenant holds or is taking in, or what one document of it adds to that."""
        statement = (
            select(
                func.count(),
                func.coalesce(func.sum(document_versions.c.chunk_count), 0),
                func.coalesce(func.sum(document_versions.c.bytes), 0),
            )
            .select_from(documents.join(document_versions, _is_held()))
            .where(documents.c.tenant_id == self._tenant)
        )
        if document_id is not None:
            statement = statement.where(documents.c.id == document_id)
        row = self._connection.execute(statement).one()
        return Holdings(*(int(value) for value in row))

    def today(self, day: date) -> Consumption:
        """Return what was used on a day."""
        row = self._connection.execute(
            select(usage_days.c.requests, usage_days.c.tokens).where(
                usage_days.c.tenant_id == self._tenant, usage_days.c.day == day
            )
        ).one_or_none()
        return Consumption(0, 0) if row is None else Consumption(row.requests, row.tokens)


class UsageBook:
    """What every tenant used."""

    def __init__(self, transaction: Transaction) -> None:
        self._connection = transaction.connection

    def add(self, day: date, used: Mapping[TenantId, Consumption]) -> None:
        """Add to what tenants used on a day."""
        dialect = postgresql if self._connection.dialect.name == "postgresql" else sqlite
        for tenant, more in sorted(used.items()):  # one order for everybody: no deadlock
            added = dialect.insert(usage_days).values(tenant_id=tenant, day=day, requests=more.requests, tokens=more.tokens)
            self._connection.execute(
                added.on_conflict_do_update(
                    index_elements=["tenant_id", "day"],
                    set_={
                        "requests": usage_days.c.requests + more.requests,
                        "tokens": usage_days.c.tokens + more.tokens,
                    },
                )
            )

    def of(self, day: date) -> dict[TenantId, tuple[Consumption, Quotas]]:
        """Return what each tenant that has quotas used on a day, and may."""
        rows: Any = self._connection.execute(
            select(tenants.c.id, tenants.c.quotas, usage_days.c.requests, usage_days.c.tokens)
            .select_from(tenants.outerjoin(usage_days, (usage_days.c.tenant_id == tenants.c.id) & (usage_days.c.day == day)))
            .where(tenants.c.quotas.is_not(None))
        )
        return {
            TenantId(row.id): (Consumption(row.requests or 0, row.tokens or 0), Quotas(**(row.quotas or {}))) for row in rows
        }


def _is_held() -> Any:
    """Return the condition that joins a document with its current version, or with the first one while it comes in."""
    return and_(
        document_versions.c.tenant_id == documents.c.tenant_id,
        document_versions.c.document_id == documents.c.id,
        document_versions.c.version == func.coalesce(documents.c.current_version, documents.c.last_version),
        document_versions.c.state.in_(["current", "indexing"]),
    )
