"""API keys: made, listed, rotated, revoked, and proven.

    rag_<prefix>_<secret>      the prefix finds the row, the secret is 32 random bytes

Only a keyed hash of the whole key is stored. What a key may do is remembered for a few seconds, by its hash.
"""

import asyncio
import hashlib
import hmac
import re
import secrets
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from cachetools import TTLCache

from advanced_rag.exceptions import (
    CredentialsError,
    ExpiredCredentialsError,
    InvalidRequestError,
    MissingScopeError,
    NotFoundError,
    RagError,
    RevokedCredentialsError,
    TenantDisabledError,
)
from advanced_rag.models.documents import Page, TenantId
from advanced_rag.models.identity import SCOPES, ApiKey, KeyRequest, Principal
from advanced_rag.services.sql import Sql
from advanced_rag.storage.database import TenantTransaction
from advanced_rag.storage.keys import KeyRepository, KeyRing, StoredKey
from advanced_rag.storage.tables import now
from advanced_rag.telemetry import metrics
from advanced_rag.telemetry.logs import get_logger

KEY_MARK = "rag_"
_KEY = re.compile(r"rag_([a-z0-9]{12})_[A-Za-z0-9_-]{43}\Z")
_REMEMBERED, _FRESH_S = 10_000, 4.0  # below the five seconds a revocation may take to be known everywhere
_STALE_S = 600.0
_NOTE_EVERY_S = 30.0
_log = get_logger(__name__)


class KeyService:
    """The keys of an installation; ``roles`` says which scopes a role stands for."""

    def __init__(
        self,
        database: Sql,
        secret: bytes,
        roles: Mapping[str, frozenset[str]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._secret = secret
        self._roles = roles
        self._known: TTLCache[str, Principal] = TTLCache(_REMEMBERED, _FRESH_S, timer=clock)
        self._stale: TTLCache[str, Principal] = TTLCache(_REMEMBERED, _STALE_S, timer=clock)
        self._standing: TTLCache[str, Principal] = TTLCache(_REMEMBERED, _FRESH_S, timer=clock)
        self._lock = threading.Lock()
        self._used: dict[str, datetime] = {}
        metrics.begin(metrics.IDENTITY_LOOKUPS, ["cached", "looked_up"])

    async def authenticate(self, key: str) -> Principal:
        """Return whose key this is.

        Raises CredentialsError; what exactly is wrong is told to those alone who hold the whole key.
        """
        digest = self._digest(key)
        with self._lock:
            known = self._known.get(digest)
        metrics.IDENTITY_LOOKUPS.labels("cached" if known else "looked_up").inc()
        principal = known or await self._look_up(key, digest)
        self._note_use(principal)
        return principal

    async def standing(self, key_id: str) -> Principal:
        """Return whom a key stands for, as of the last few seconds; raises CredentialsError, TenantDisabledError."""
        with self._lock:
            known = self._standing.get(key_id)
        if known is not None:
            return known
        stored = await self._database.read_across(lambda t: KeyRing(t).by_id(key_id))
        if stored is None:
            raise RevokedCredentialsError("the key is gone")
        principal = self._principal(stored)
        with self._lock:
            self._standing[key_id] = principal
        return principal

    def recall(self, key: str) -> Principal | None:
        """Return whose key this was some minutes ago, for what must answer although the database does not."""
        with self._lock:
            return self._stale.get(self._digest(key))

    async def create(
        self,
        tenant: TenantId,
        wanted: KeyRequest,
        granted_by: Principal | None = None,
    ) -> tuple[ApiKey, str]:
        """Make a key; returns it and the secret that is shown this once.

        Raises InvalidRequestError for a role or scope that is none, MissingScopeError for one the granter does not have.
        """
        self._check_grant(wanted.role, wanted.scopes, granted_by)
        return await self._database.write(tenant, lambda t: self._store(t, wanted))

    async def page(self, tenant: TenantId, limit: int, cursor: str | None) -> Page[ApiKey]:
        """List keys, oldest first."""
        return await self._database.read(tenant, lambda t: KeyRepository(t).page(limit, cursor))

    async def rotate(
        self, tenant: TenantId, key_id: str, overlap: timedelta, granted_by: Principal | None = None
    ) -> tuple[ApiKey, str]:
        """Make a key like another, which goes on for the overlap; raises NotFoundError, MissingScopeError."""

        def rotate(transaction: TenantTransaction) -> tuple[ApiKey, str]:
            old = KeyRepository(transaction).get(key_id)
            moment = now()
            if old is None or old.revoked_at is not None or (old.expires_at is not None and old.expires_at <= moment):
                raise NotFoundError("no such key")
            self._check_grant(old.role, old.scopes, granted_by)
            ends = moment + overlap
            KeyRepository(transaction).expire(old.id, ends if old.expires_at is None else min(ends, old.expires_at))
            return self._store(
                transaction, KeyRequest(old.name, old.role, old.scopes, old.user_id, old.groups, old.expires_at)
            )

        return await self._database.write(tenant, rotate)

    async def revoke(self, tenant: TenantId, key_id: str) -> None:
        """End a key; it is refused here at once, elsewhere within five seconds. Raises NotFoundError."""
        if not await self._database.write(tenant, lambda t: KeyRepository(t).revoke(key_id)):
            raise NotFoundError("no such key")
        self.forget(key_id)

    def forget(self, key_id: str) -> None:
        """Look a key up again when it is used next."""
        with self._lock:
            self._standing.pop(key_id, None)
            for digest in [digest for digest, known in self._stale.items() if known.credential == key_id]:
                self._known.pop(digest, None)
                del self._stale[digest]

    async def run(self) -> None:
        """Write down now and then when keys were used, until cancelled."""
        while True:
            await asyncio.sleep(_NOTE_EVERY_S)
            used, self._used = self._used, {}
            try:
                await self._database.write_across(lambda t, used=used: KeyRing(t).note_use(used))  # type: ignore[misc]
            except RagError as error:
                _log.warning("key_uses_not_noted", code=error.code, keys=len(used))

    async def _look_up(self, key: str, digest: str) -> Principal:
        parts = _KEY.match(key)
        if parts is None:
            raise CredentialsError("not a key of this service")
        stored = await self._database.read_across(lambda t: KeyRing(t).find(parts[1]))
        if not hmac.compare_digest(stored.digest if stored else "", digest) or stored is None:
            raise CredentialsError("not a key of this service")
        principal = self._principal(stored)
        with self._lock:
            self._known[digest] = self._stale[digest] = principal
        return principal

    def _principal(self, stored: StoredKey) -> Principal:
        key = stored.key
        if key.revoked_at is not None:
            raise RevokedCredentialsError("the key was revoked")
        if key.expires_at is not None and key.expires_at <= now():
            raise ExpiredCredentialsError("the key has expired")
        if not stored.tenant_is_active:
            raise TenantDisabledError("the tenant is switched off")
        scopes = self._roles.get(key.role, frozenset()) | frozenset(key.scopes)
        return Principal(key.tenant, key.user_id, scopes, frozenset(key.groups), key.id)

    def _store(self, transaction: TenantTransaction, wanted: KeyRequest) -> tuple[ApiKey, str]:
        key_id, prefix = str(uuid.uuid4()), secrets.token_hex(6)
        secret = f"{KEY_MARK}{prefix}_{secrets.token_urlsafe(32)}"
        key = ApiKey(
            id=key_id,
            tenant=transaction.tenant,
            name=wanted.name,
            prefix=prefix,
            role=wanted.role,
            scopes=wanted.scopes,
            user_id=wanted.user_id or f"key:{key_id}",
            groups=wanted.groups,
            created_at=now(),
            expires_at=wanted.expires_at,
        )
        KeyRepository(transaction).add(key, self._digest(secret))
        return key, secret

    def _check_grant(self, role: str, scopes: tuple[str, ...], granted_by: Principal | None) -> None:
        if role not in self._roles:
            raise InvalidRequestError.at("role", "no such role: " + ", ".join(sorted(self._roles)))
        if unknown := set(scopes) - SCOPES:
            raise InvalidRequestError.at("scopes", "no such scope: " + ", ".join(sorted(unknown)))
        beyond = (self._roles[role] | set(scopes)) - (granted_by.scopes if granted_by else SCOPES)
        if beyond:
            raise MissingScopeError("nobody grants more than he has", scopes=sorted(beyond))

    def _note_use(self, principal: Principal) -> None:
        if principal.credential is not None:
            self._used[principal.credential] = now()

    def _digest(self, key: str) -> str:
        return hmac.digest(self._secret, key.encode("utf-8", "surrogatepass"), hashlib.sha256).hex()
