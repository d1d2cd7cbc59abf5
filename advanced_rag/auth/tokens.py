"""Tokens of an identity provider (JWT): who a good one speaks of; anything else is refused with the reason's code alone."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt

from advanced_rag.auth.jwks import JwksKeys
from advanced_rag.config import JwtSettings
from advanced_rag.exceptions import (
    CredentialsError,
    ExpiredCredentialsError,
    NotYetValidCredentialsError,
    StartupError,
)

OWN_ISSUER = "advanced-rag"
_EPOCH = "epoch"
_MAX_TOKEN_CHARS = 16_384
_MAX_GROUPS, _MAX_NAME = 200, 255
Key = jwt.PyJWK | str | bytes


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token says: ``tenant`` is a name or id, ``roles`` and ``scopes`` are still to be looked up."""

    tenant: str
    user_id: str
    groups: frozenset[str]
    roles: frozenset[str]
    scopes: frozenset[str]
    epoch: int | None = None  # of tokens made here


class OwnTokens:
    """Makes the short-lived tokens of users with a password here, and checks them."""

    def __init__(self, secret: bytes, lifetime_s: int) -> None:
        self._secret = secret.hex()
        self.lifetime_s = lifetime_s
        settings = JwtSettings(issuer=OWN_ISSUER, audience=OWN_ISSUER, algorithms=["HS256"], leeway_s=0)
        self._verifier = TokenVerifier(settings, self._secret)

    def make(self, tenant: str, user_id: str, epoch: int) -> str:
        """Return a token for a user."""
        moment = int(time.time())
        claims = {"iss": OWN_ISSUER, "aud": OWN_ISSUER, "iat": moment, "exp": moment + self.lifetime_s}
        return jwt.encode({**claims, "sub": user_id, "tenant": tenant, _EPOCH: epoch}, self._secret, "HS256")

    async def verify(self, token: str) -> Claims:
        """Return what a token says; raises what TokenVerifier raises."""
        return await self._verifier.verify(token)


def is_own(token: str) -> bool:
    """Tell whether a token says that it was made here; whether it was is still to be checked."""
    try:
        return bool(jwt.decode(token, options={"verify_signature": False}).get("iss") == OWN_ISSUER)
    except (jwt.PyJWTError, ValueError):
        return False


class TokenVerifier:
    """Checks signature, algorithm, issuer, audience and times; each algorithm has one kind of key, so none is confused."""

    def __init__(self, settings: JwtSettings, keys: "JwksKeys | Key") -> None:
        self._settings = settings
        self._keys = keys

    async def verify(self, token: str) -> Claims:
        """Return what a token says.

        Raises CredentialsError, ExpiredCredentialsError, NotYetValidCredentialsError, IdentityProviderError.
        """
        if len(token) > _MAX_TOKEN_CHARS:
            raise CredentialsError("not a token this service takes")
        try:
            key = await self._key(token)
            claims = self._decode(token, key)
        except jwt.ExpiredSignatureError:
            raise ExpiredCredentialsError("the token has expired") from None
        except jwt.ImmatureSignatureError:
            raise NotYetValidCredentialsError("the token is not valid yet") from None
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError):
            raise CredentialsError("not a token this service takes") from None
        return self._read(claims)

    async def _key(self, token: str) -> Key:
        if isinstance(self._keys, JwksKeys):
            kid = jwt.get_unverified_header(token).get("kid")
            return await self._keys.get(kid if isinstance(kid, str) else None)
        return self._keys

    def _decode(self, token: str, key: Key) -> dict[str, Any]:
        own = self._settings
        return jwt.decode(
            token,
            key,
            algorithms=list(own.algorithms),
            audience=own.audience,
            issuer=own.issuer,
            leeway=own.leeway_s,
            options={"require": ["exp", "iss", "aud", *own.require], "enforce_minimum_key_length": True},
        )

    def _read(self, claims: Mapping[str, Any]) -> Claims:
        names = self._settings.claims
        expires, issued = claims["exp"], claims.get("iat", time.time())
        if not isinstance(expires, int | float) or expires - issued > self._settings.max_lifetime_s:
            raise CredentialsError("the token lives too long")
        user, tenant = claims.get(names.user), claims.get(names.tenant, self._settings.tenant)
        if not isinstance(user, str) or not isinstance(tenant, str) or not 0 < len(user) <= _MAX_NAME or not tenant:
            raise CredentialsError("the token does not say who it speaks of")
        return Claims(
            tenant=tenant,
            user_id=user,
            groups=_names(claims.get(names.groups)),
            roles=_names(claims.get(names.roles)),
            scopes=_names(claims.get(names.scopes)),
            epoch=claims.get(_EPOCH),
        )


def open_verifier(settings: JwtSettings) -> TokenVerifier | None:
    """Return the verifier the settings describe, None where they describe none.

    Raises StartupError for settings that do not fit together.
    """
    if settings.issuer is None:
        return None
    if settings.audience is None:
        raise StartupError("auth.jwt.audience: name the audience tokens are made for")
    given = [name for name in ("secret", "public_key_file", "jwks_url") if getattr(settings, name) is not None]
    if len(given) != 1:
        raise StartupError("auth.jwt: set one of secret, public_key_file, jwks_url")
    is_symmetric = [algorithm.startswith("HS") for algorithm in settings.algorithms]
    if any(is_symmetric) != (settings.secret is not None) or not (all(is_symmetric) or not any(is_symmetric)):
        raise StartupError("auth.jwt.algorithms: HS256 goes with a secret, RS256 and ES256 with public keys")
    if settings.secret is not None:
        return TokenVerifier(settings, settings.secret.get_secret_value())
    if settings.jwks_url is not None:
        return TokenVerifier(settings, JwksKeys(settings.jwks_url))
    assert settings.public_key_file is not None  # noqa: S101 - one of the three is given
    return TokenVerifier(settings, _public_key(settings.public_key_file))


def _public_key(path: Path) -> str:
    try:
        text = path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise StartupError(f"auth.jwt.public_key_file: {path} cannot be read ({type(error).__name__})") from None
    if "PUBLIC KEY" not in text:
        raise StartupError(f"auth.jwt.public_key_file: {path} is no public key in PEM")
    return text


def _names(claim: Any) -> frozenset[str]:
    """Return the names in a claim: a list of them, or one string that separates them by spaces."""
    items = claim.split() if isinstance(claim, str) else claim if isinstance(claim, list) else []
    return frozenset(item for item in items[:_MAX_GROUPS] if isinstance(item, str) and 0 < len(item) <= _MAX_NAME)
