"""Who asks, and what they may do."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

from advanced_rag.models.documents import DEFAULT_TENANT, TenantId
from advanced_rag.models.rights import subjects

Scope = Literal[
    "retrieve",
    "chat",
    "ingest",
    "documents:read",
    "documents:delete",
    "documents:share",
    "documents:all",
    "account",
    "status",
    "metrics",
    "profile",
    "admin:index",
    "admin:keys",
    "admin:users",
    "admin:audit",
    "admin:holds",
    "admin:forget",
    "admin:tenants",
    "admin:reindex",
]
SCOPES: frozenset[str] = frozenset(get_args(Scope))
LOCAL_USER = "local"

_READER = frozenset({"retrieve", "chat", "documents:read", "account", "status"})
_WRITER = _READER | {"ingest", "documents:delete", "documents:share"}
_ADMIN = _WRITER | {
    "metrics",
    "profile",
    "admin:index",
    "admin:keys",
    "admin:users",
    "admin:audit",
    "admin:holds",
    "admin:forget",
}
ROLES: Mapping[str, frozenset[str]] = {
    "reader": _READER,
    "writer": _WRITER,
    "admin": _ADMIN,  # of one tenant; documents that are private to others stay so
    "operator": SCOPES,  # of the installation: makes tenants, reindexes, and sees every document of its own
}


@dataclass(frozen=True, slots=True)
class Reader:
    """For whom documents are read: ``subjects`` are a user and the groups he is in; None sees every one of the tenant."""

    tenant: TenantId
    subjects: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody whose identity is proven; ``credential`` is the id of what proved it, never the secret."""

    tenant: TenantId
    user_id: str
    scopes: frozenset[str]
    groups: frozenset[str] = frozenset()
    credential: str | None = None

    @property
    def reader(self) -> Reader:
        """Whose documents he reads, and which of them."""
        own = None if self.may("documents:all") else subjects([self.user_id], self.groups)
        return Reader(self.tenant, own)

    @property
    def cache_scope(self) -> str:
        """What keeps caches of users apart: nobody learns from the time of an answer what others asked."""
        return cache_scope(self.tenant, self.user_id)

    def may(self, scope: Scope) -> bool:
        """Tell whether a scope was granted."""
        return scope in self.scopes


def cache_scope(tenant: TenantId, user_id: str) -> str:
    """Return what the cached things of a user are kept under."""
    return f"{tenant}/{user_id}"


LOCAL = Principal(DEFAULT_TENANT, LOCAL_USER, SCOPES)  # everybody, where no identity is required


@dataclass(frozen=True, slots=True)
class Tenant:
    """A team: nothing of it is ever seen by another."""

    id: TenantId
    name: str
    is_active: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class KeyRequest:
    """What a key is to be; without a user it stands for itself."""

    name: str
    role: str
    scopes: tuple[str, ...] = ()
    user_id: str | None = None
    groups: tuple[str, ...] = ()
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it is listed: without its secret."""

    id: str
    tenant: TenantId
    name: str
    prefix: str
    role: str
    scopes: tuple[str, ...]
    user_id: str
    groups: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class User:
    """Somebody with a password here."""

    id: str
    tenant: TenantId
    email: str
    name: str
    role: str
    groups: tuple[str, ...]
    is_active: bool
    created_at: datetime
