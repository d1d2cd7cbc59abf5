"""Users, invitations and refresh tokens in SQL: digests of what is secret, never the secret."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, insert, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from advanced_rag.models.documents import Page, TenantId
from advanced_rag.models.identity import User
from advanced_rag.storage.cursors import decode_cursor, encode_cursor
from advanced_rag.storage.database import TenantTransaction, Transaction
from advanced_rag.storage.tables import invitations, login_failures, now, refresh_tokens, tenants, users


@dataclass(frozen=True, slots=True)
class StoredUser:
    """A user with his password's hash, the epoch of his tokens, and whether his tenant is switched on."""

    user: User
    password: str
    epoch: int
    tenant_is_active: bool


@dataclass(frozen=True, slots=True)
class Invitation:
    """What somebody who is invited becomes."""

    tenant: TenantId
    role: str
    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A refresh token; tokens of one login are a family."""

    tenant: TenantId
    user_id: str
    family: str
    is_used: bool
    expires_at: datetime


class UserRepository:
    """The users of one tenant."""

    def __init__(self, transaction: TenantTransaction) -> None:
        self._connection = transaction.connection
        self._tenant = transaction.tenant

    def add(self, user: User, password: str) -> None:
        """Store a new user; an address that is taken breaks the transaction."""
        self._connection.execute(
            insert(users).values(
                id=user.id,
                tenant_id=self._tenant,
                email=user.email,
                name=user.name,
                password=password,
                role=user.role,
                groups=list(user.groups),
                is_active=user.is_active,
                epoch=0,
                created_at=user.created_at,
            )
        )

    def page(self, limit: int, cursor: str | None) -> Page[User]:
        """List users, oldest first."""
        statement = (
            select(users).where(users.c.tenant_id == self._tenant).order_by(users.c.created_at, users.c.id).limit(limit + 1)
        )
        if cursor is not None:
            statement = statement.where(tuple_(users.c.created_at, users.c.id) > tuple_(*decode_cursor(cursor)))
        rows = self._connection.execute(statement).all()
        more = rows[limit - 1] if len(rows) > limit else None
        return Page([_user(row) for row in rows[:limit]], encode_cursor(more.created_at, more.id) if more else None)

    def change(self, user_id: str, **values: Any) -> User | None:
        """Change a user; his tokens are refused from now on."""
        row = self._connection.execute(
            update(users)
            .where(users.c.tenant_id == self._tenant, users.c.id == user_id)
            .values(epoch=users.c.epoch + 1, **values)
            .returning(*users.c)
        ).one_or_none()
        if row is not None:
            self.end_families(user_id)
        return None if row is None else _user(row)

    def end_families(self, user_id: str, families: Sequence[str] | None = None) -> None:
        """Delete refresh tokens of a user: of some logins, or of all."""
        statement = delete(refresh_tokens).where(
            refresh_tokens.c.tenant_id == self._tenant, refresh_tokens.c.user_id == user_id
        )
        self._connection.execute(statement if families is None else statement.where(refresh_tokens.c.family.in_(families)))

    def add_refresh(self, digest: str, token: RefreshToken) -> None:
        """Store a refresh token, and forget those of this user that have expired."""
        self._connection.execute(
            delete(refresh_tokens).where(
                refresh_tokens.c.tenant_id == self._tenant,
                refresh_tokens.c.user_id == token.user_id,
                refresh_tokens.c.expires_at < now(),
            )
        )
        self._connection.execute(
            insert(refresh_tokens).values(
                digest=digest,
                tenant_id=self._tenant,
                user_id=token.user_id,
                family=token.family,
                is_used=False,
                created_at=now(),
                expires_at=token.expires_at,
            )
        )

    def add_invitation(self, digest: str, invitation: Invitation, expires_at: datetime) -> None:
        """Store an invitation."""
        self._connection.execute(
            insert(invitations).values(
                digest=digest,
                tenant_id=self._tenant,
                role=invitation.role,
                groups=list(invitation.groups),
                created_at=now(),
                expires_at=expires_at,
            )
        )


class Register:
    """Users of every tenant, for those whose tenant is not known yet."""

    def __init__(self, transaction: Transaction) -> None:
        self._connection = transaction.connection

    def by_email(self, email: str) -> StoredUser | None:
        """Return the user with an address."""
        return self._find(users.c.email == email)

    def by_id(self, user_id: str) -> StoredUser | None:
        """Return a user."""
        return self._find(users.c.id == user_id)

    def take_invitation(self, digest: str) -> Invitation | None:
        """Use an invitation up; None when there is none that is still good."""
        row = self._connection.execute(
            delete(invitations).where(invitations.c.digest == digest).returning(*invitations.c)
        ).one_or_none()
        if row is None or row.expires_at <= now():
            return None
        return Invitation(TenantId(row.tenant_id), row.role, tuple(row.groups))

    def use_refresh(self, digest: str) -> RefreshToken | None:
        """Mark a refresh token as used; returns it as it was before."""
        statement = select(refresh_tokens).where(refresh_tokens.c.digest == digest).with_for_update()
        row = self._connection.execute(statement).one_or_none()
        if row is None:
            return None
        self._connection.execute(update(refresh_tokens).where(refresh_tokens.c.digest == digest).values(is_used=True))
        return RefreshToken(TenantId(row.tenant_id), row.user_id, row.family, row.is_used, row.expires_at)

    def failures(self, digest: str) -> tuple[int, datetime | None]:
        """Return how often an address failed to log in, and until when nobody tries again."""
        row = self._connection.execute(select(login_failures).where(login_failures.c.digest == digest)).one_or_none()
        return (0, None) if row is None else (row._mapping["count"], row.locked_until)

    def note_failure(self, digest: str, locked_until: datetime, forget_after: timedelta) -> None:
        """Count a failed login, and forget those of long ago."""
        dialect = postgresql if self._connection.dialect.name == "postgresql" else sqlite
        added = dialect.insert(login_failures).values(digest=digest, count=1, locked_until=locked_until)
        self._connection.execute(
            added.on_conflict_do_update(
                index_elements=["digest"],
                set_={"count": login_failures.c.count + 1, "locked_until": locked_until},
            )
        )
        self._connection.execute(delete(login_failures).where(login_failures.c.locked_until < now() - forget_after))

    def clear_failures(self, digest: str) -> None:
        """Forget the failed logins of an address."""
        self._connection.execute(delete(login_failures).where(login_failures.c.digest == digest))

    def _find(self, condition: Any) -> StoredUser | None:
        row = self._connection.execute(
            select(users, tenants.c.is_active.label("tenant_is_active"))
            .select_from(users.join(tenants, tenants.c.id == users.c.tenant_id))
            .where(condition)
        ).one_or_none()
        return None if row is None else StoredUser(_user(row), row.password, row.epoch, row.tenant_is_active)


def _user(row: Any) -> User:
    return User(
        id=row.id,
        tenant=TenantId(row.tenant_id),
        email=row.email,
        name=row.name,
        role=row.role,
        groups=tuple(row.groups),
        is_active=row.is_active,
        created_at=row.created_at,
    )
