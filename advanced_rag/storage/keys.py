"""API keys in SQL: their digests, never the keys."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, bindparam, insert, select, tuple_, update

from advanced_rag.models.documents import Page, TenantId
from advanced_rag.models.identity import ApiKey
from advanced_rag.storage.cursors import decode_cursor, encode_cursor
from advanced_rag.storage.database import TenantTransaction, Transaction
from advanced_rag.storage.tables import api_keys, now, tenants


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key with its digest, and whether its tenant is switched on."""

    key: ApiKey
    digest: str
    tenant_is_active: bool


class KeyRepository:
    """The keys of one tenant."""

    def __init__(self, transaction: TenantTransaction) -> None:
        self._connection = transaction.connection
        self._tenant = transaction.tenant

    def add(self, key: ApiKey, digest: str) -> None:
        """Store a new key."""
        self._connection.execute(
            insert(api_keys).values(
                id=key.id,
                tenant_id=self._tenant,
                name=key.name,
                prefix=key.prefix,
                digest=digest,
                role=key.role,
                scopes=list(key.scopes),
                user_id=key.user_id,
                groups=list(key.groups),
                created_at=key.created_at,
                expires_at=key.expires_at,
            )
        )

    def get(self, key_id: str) -> ApiKey | None:
        """Return a key, held until the transaction ends."""
        statement = select(api_keys).where(api_keys.c.tenant_id == self._tenant, api_keys.c.id == key_id)
        row = self._connection.execute(statement.with_for_update()).one_or_none()
        return None if row is None else _key(row)

    def page(self, limit: int, cursor: str | None) -> Page[ApiKey]:
        """List keys, oldest first, those that are revoked or have expired too."""
        statement = (
            select(api_keys)
            .where(api_keys.c.tenant_id == self._tenant)
            .order_by(api_keys.c.created_at, api_keys.c.id)
            .limit(limit + 1)
        )
        if cursor is not None:
            statement = statement.where(tuple_(api_keys.c.created_at, api_keys.c.id) > tuple_(*decode_cursor(cursor)))
        rows = self._connection.execute(statement).all()
        more = rows[limit - 1] if len(rows) > limit else None
        return Page([_key(row) for row in rows[:limit]], encode_cursor(more.created_at, more.id) if more else None)

    def expire(self, key_id: str, at: datetime) -> None:
        """Let a key end at some time."""
        self._set(key_id, expires_at=at)

    def revoke(self, key_id: str) -> bool:
        """End a key now; False when there is none or it has been revoked before."""
        return self._set(key_id, revoked_at=now()) > 0

    def _set(self, key_id: str, **values: Any) -> int:
        changed = self._connection.execute(
            update(api_keys)
            .where(api_keys.c.tenant_id == self._tenant, api_keys.c.id == key_id, api_keys.c.revoked_at.is_(None))
            .values(**values)
        )
        return changed.rowcount


class KeyRing:
    """The keys of every tenant, for those who do not know yet whose key they hold."""

    def __init__(self, transaction: Transaction) -> None:
        self._connection = transaction.connection

    def find(self, prefix: str) -> StoredKey | None:
        """Return the key with a prefix, whatever its state."""
        return self._find(api_keys.c.prefix == prefix)

    def by_id(self, key_id: str) -> StoredKey | None:
        """Return a key, whatever its state."""
        return self._find(api_keys.c.id == key_id)

    def note_use(self, times: Mapping[str, datetime]) -> None:
        """Remember when keys were used last."""
        if times:
            self._connection.execute(
                update(api_keys).where(api_keys.c.id == bindparam("key")).values(last_used_at=bindparam("at")),
                [{"key": key_id, "at": at} for key_id, at in times.items()],
            )

    def _find(self, condition: ColumnElement[bool]) -> StoredKey | None:
        row = self._connection.execute(
            select(api_keys, tenants.c.is_active)
            .select_from(api_keys.join(tenants, tenants.c.id == api_keys.c.tenant_id))
            .where(condition)
        ).one_or_none()
        return None if row is None else StoredKey(_key(row), row.digest, row.is_active)


def _key(row: Any) -> ApiKey:
    return ApiKey(
        id=row.id,
        tenant=TenantId(row.tenant_id),
        name=row.name,
        prefix=row.prefix,
        role=row.role,
        scopes=tuple(row.scopes),
        user_id=row.user_id,
        groups=tuple(row.groups),
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
    )
