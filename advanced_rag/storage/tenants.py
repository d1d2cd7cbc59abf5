"""Tenants in SQL."""

import uuid
from typing import Any

from sqlalchemy import insert, or_, select, update

from advanced_rag.models.documents import TenantId
from advanced_rag.models.identity import Tenant
from advanced_rag.storage.database import Transaction
from advanced_rag.storage.tables import now, tenants


class TenantRepository:
    """Every tenant of the installation."""

    def __init__(self, transaction: Transaction) -> None:
        self._connection = transaction.connection

    def create(self, name: str) -> Tenant:
        """Store a new tenant; a name that is taken breaks the transaction."""
        tenant = Tenant(TenantId(uuid.uuid4().hex), name, is_active=True, created_at=now())
        self._connection.execute(
            insert(tenants).values(id=tenant.id, name=name, is_active=True, created_at=tenant.created_at)
        )
        return tenant

    def find(self, name_or_id: str) -> Tenant | None:
        """Return the tenant of a name or an id."""
        statement = select(tenants).where(or_(tenants.c.id == name_or_id, tenants.c.name == name_or_id))
        found = [_tenant(row) for row in self._connection.execute(statement)]
        return next((tenant for tenant in found if tenant.id == name_or_id), found[0] if found else None)

    def all(self) -> list[Tenant]:
        """Return every tenant, by name."""
        return [_tenant(row) for row in self._connection.execute(select(tenants).order_by(tenants.c.name))]

    def set_active(self, tenant: TenantId, *, is_active: bool) -> Tenant | None:
        """Switch a tenant on or off; None when there is none."""
        row = self._connection.execute(
            update(tenants).where(tenants.c.id == tenant).values(is_active=is_active).returning(*tenants.c)
        ).one_or_none()
        return None if row is None else _tenant(row)


def _tenant(row: Any) -> Tenant:
    return Tenant(TenantId(row.id), row.name, row.is_active, row.created_at)
