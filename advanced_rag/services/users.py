"""Users with a password: registration, login, refresh, password change, switching off.

A login gives a short access token and a refresh token that is used once; one that is used again was stolen, and ends its
whole family. Access tokens name the user's epoch, which moves on with everything that must end them.
"""

import hashlib
import hmac
import secrets
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from math import ceil

from cachetools import TTLCache

from advanced_rag.auth.passwords import Passwords
from advanced_rag.auth.tokens import Claims, OwnTokens
from advanced_rag.config import AuthSettings
from advanced_rag.exceptions import (
    ConflictError,
    CredentialsError,
    ExpiredCredentialsError,
    InvalidRequestError,
    LockedOutError,
    MissingScopeError,
    NotFoundError,
    RegistrationClosedError,
    RevokedCredentialsError,
    TenantDisabledError,
    WrongPasswordError,
)
from advanced_rag.models.documents import Page, TenantId
from advanced_rag.models.identity import Principal, User
from advanced_rag.services.sql import Sql
from advanced_rag.services.tenants import TenantService
from advanced_rag.storage.database import TenantTransaction, Transaction
from advanced_rag.storage.tables import now
from advanced_rag.storage.users import Invitation, RefreshToken, Register, StoredUser, UserRepository

_REMEMBERED, _FRESH_S = 10_000, 4.0
_FREE_FAILURES, _FIRST_LOCK_S, _LONGEST_LOCK_S = 5, 10.0, 300.0
_FORGET_AFTER = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Login:
    """What a user gets who proved who he is; times in seconds."""

    user: User
    access_token: str
    expires_in_s: int
    refresh_token: str
    refresh_expires_in_s: int


class UserService:
    """The users of an installation."""

    def __init__(
        self,
        database: Sql,
        tenants: TenantService,
        tokens: OwnTokens,
        secret: bytes,
        settings: AuthSettings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._tenants = tenants
        self._tokens = tokens
        self._secret = secret
        self._settings = settings
        self._passwords = Passwords()
        self._known: TTLCache[str, StoredUser] = TTLCache(_REMEMBERED, _FRESH_S, timer=clock)
        self._lock = threading.Lock()

    async def register(self, email: str, password: str, name: str, invitation: str | None) -> Login:
        """Make a user and log him in.

        Raises RegistrationClosedError, ConflictError when somebody has this address.
        """
        is_open = self._settings.registration == "open"
        if self._settings.registration == "closed" or (invitation is None and not is_open):
            raise RegistrationClosedError("registering is closed, or needs an invitation")
        joined = None if invitation else await self._tenants.active(self._settings.registration_tenant)
        stored = await self._passwords.hash(password)

        def register(transaction: Transaction) -> User:
            if invitation:
                place = Register(transaction).take_invitation(self._digest(invitation))
            else:
                place = Invitation(joined or TenantId(""), self._settings.registration_role, ())
            if place is None:
                raise RegistrationClosedError("the invitation is not good, or was used")
            user = User(str(uuid.uuid4()), place.tenant, _folded(email), name, place.role, place.groups, True, now())  # noqa: FBT003
            UserRepository(TenantTransaction(transaction.connection, place.tenant)).add(user, stored)
            return user

        try:
            user = await self._database.write_across(register)
        except ConflictError:
            raise ConflictError("somebody has registered with this address") from None
        return await self._log_in(user, 0, str(uuid.uuid4()))

    async def log_in(self, email: str, password: str) -> Login:
        """Log a user in; raises CredentialsError, LockedOutError, whether there is such a user or not."""
        who = self._digest(_folded(email))
        count, locked_until = await self._database.read_across(lambda t: Register(t).failures(who))
        if locked_until is not None and locked_until > now() and count >= _FREE_FAILURES:
            raise LockedOutError("too many logins failed", ceil((locked_until - now()).total_seconds()))
        found = await self._database.read_across(lambda t: Register(t).by_email(_folded(email)))
        if not await self._passwords.fits(password, found.password if found else None) or found is None:
            until = now() + timedelta(seconds=_lock_s(count + 1))
            await self._database.write_across(lambda t: Register(t).note_failure(who, until, _FORGET_AFTER))
            raise WrongPasswordError(found.user) if found else CredentialsError(WrongPasswordError.text)
        _check_active(found)
        if count:
            await self._database.write_across(lambda t: Register(t).clear_failures(who))
        return await self._log_in(found.user, found.epoch, str(uuid.uuid4()))

    async def refresh(self, token: str) -> Login:
        """Give new tokens for a refresh token, which is good once.

        Raises CredentialsError, ExpiredCredentialsError, and RevokedCredentialsError for one that was used before: its whole
        family is ended.
        """
        used = await self._database.write_across(lambda t: Register(t).use_refresh(self._digest(token)))
        if used is None:
            raise CredentialsError("not a refresh token of this service")
        if used.is_used:
            await self._end(used)
            raise RevokedCredentialsError("the refresh token was used before")
        if used.expires_at <= now():
            raise ExpiredCredentialsError("the refresh token has expired")
        found = await self._database.read_across(lambda t: Register(t).by_id(used.user_id))
        if found is None:
            raise CredentialsError("not a refresh token of this service")
        _check_active(found)
        return await self._log_in(found.user, found.epoch, used.family)

    async def log_out(self, token: str) -> None:
        """End the login a refresh token belongs to; a token nobody knows ends nothing."""
        used = await self._database.write_across(lambda t: Register(t).use_refresh(self._digest(token)))
        if used is not None:
            await self._end(used)

    async def change_password(self, principal: Principal, old: str, new: str) -> None:
        """Change the caller's own password, which ends all his logins; raises CredentialsError, NotFoundError."""
        found = await self._database.read_across(lambda t: Register(t).by_id(principal.user_id))
        if found is None or found.user.tenant != principal.tenant:
            raise NotFoundError("the caller has no password here")
        if not await self._passwords.fits(old, found.password):
            raise CredentialsError("the old password is wrong")
        stored = await self._passwords.hash(new)
        await self._change(principal.tenant, principal.user_id, password=stored)

    async def invite(self, principal: Principal, role: str, groups: tuple[str, ...], valid_for: timedelta) -> str:
        """Return an invitation into the caller's tenant, good once; raises InvalidRequestError, MissingScopeError."""
        self._check_role(principal, role)
        invitation = secrets.token_urlsafe(32)
        place, expires_at = Invitation(principal.tenant, role, groups), now() + valid_for
        await self._database.write(
            principal.tenant, lambda t: UserRepository(t).add_invitation(self._digest(invitation), place, expires_at)
        )
        return invitation

    async def page(self, tenant: TenantId, limit: int, cursor: str | None) -> Page[User]:
        """List the users of a tenant, oldest first."""
        return await self._database.read(tenant, lambda t: UserRepository(t).page(limit, cursor))

    async def update(
        self, principal: Principal, user_id: str, *, role: str | None, groups: tuple[str, ...] | None, is_active: bool | None
    ) -> User:
        """Change what a user may do, or switch him off or on; his logins end. Raises NotFoundError, MissingScopeError."""
        if role is not None:
            self._check_role(principal, role)
        values = {"role": role, "groups": None if groups is None else list(groups), "is_active": is_active}
        given = {name: value for name, value in values.items() if value is not None}
        return await self._change(principal.tenant, user_id, **given)

    async def principal(self, claims: Claims) -> Principal:
        """Return who an access token of this service speaks of, as of the last few seconds.

        Raises CredentialsError, RevokedCredentialsError, TenantDisabledError.
        """
        found = await self._active(claims.user_id)
        if claims.epoch != found.epoch or claims.tenant != found.user.tenant:
            raise RevokedCredentialsError("the login was ended")
        scopes = self._settings.granted.get(found.user.role, frozenset())
        return Principal(found.user.tenant, found.user.id, scopes, frozenset(found.user.groups), found.user.id)

    async def standing(self, user_id: str) -> tuple[int, str, tuple[str, ...]]:
        """Return what the logins of a user are worth, as of the last few seconds: another value, once they were ended.

        Raises CredentialsError, TenantDisabledError.
        """
        found = await self._active(user_id)
        return found.epoch, found.user.role, found.user.groups

    async def _active(self, user_id: str) -> StoredUser:
        with self._lock:
            found = self._known.get(user_id)
        if found is None:
            found = await self._database.read_across(lambda t: Register(t).by_id(user_id))
            if found is None:
                raise CredentialsError("there is no such user")
            with self._lock:
                self._known[user_id] = found
        _check_active(found)
        return found

    async def _log_in(self, user: User, epoch: int, family: str) -> Login:
        refresh = secrets.token_urlsafe(32)
        lifetime_s = self._settings.refresh_token_s
        stored = RefreshToken(user.tenant, user.id, family, is_used=False, expires_at=now() + timedelta(seconds=lifetime_s))
        await self._database.write(user.tenant, lambda t: UserRepository(t).add_refresh(self._digest(refresh), stored))
        access = self._tokens.make(user.tenant, user.id, epoch)
        return Login(user, access, self._tokens.lifetime_s, refresh, lifetime_s)

    async def _end(self, token: RefreshToken) -> None:
        await self._database.write(token.tenant, lambda t: UserRepository(t).end_families(token.user_id, [token.family]))

    async def _change(self, tenant: TenantId, user_id: str, **values: object) -> User:
        user = await self._database.write(tenant, lambda t: UserRepository(t).change(user_id, **values))
        if user is None:
            raise NotFoundError("no such user")
        with self._lock:
            self._known.pop(user_id, None)
        return user

    def _check_role(self, principal: Principal, role: str) -> None:
        granted = self._settings.granted.get(role)
        if granted is None:
            raise InvalidRequestError.at("role", "no such role: " + ", ".join(sorted(self._settings.granted)))
        if beyond := granted - principal.scopes:
            raise MissingScopeError("nobody grants more than he has", scopes=sorted(beyond))

    def _digest(self, value: str) -> str:
        return hmac.digest(self._secret, value.encode("utf-8", "surrogatepass"), hashlib.sha256).hex()


def _folded(email: str) -> str:
    return email.strip().lower()


def _check_active(found: StoredUser) -> None:
    if not found.user.is_active:
        raise RevokedCredentialsError("the user is switched off")
    if not found.tenant_is_active:
        raise TenantDisabledError("the tenant is switched off")


def _lock_s(failures: int) -> float:
    """Return for how long nobody tries again after so many failures, in seconds: doubling from the fifth on."""
    beyond = failures - _FREE_FAILURES
    return 0.0 if beyond < 0 else min(_FIRST_LOCK_S * 2.0**beyond, _LONGEST_LOCK_S)
