"""The keys of an identity provider, from its JWKS address: fetched seldom, bounded, and kept when it does not answer."""

import asyncio
import math
import re
import time
from collections.abc import Callable

import httpx2
import jwt

from advanced_rag.exceptions import CredentialsError, IdentityProviderError
from advanced_rag.telemetry.logs import get_logger

_FRESH_S, _COOL_DOWN_S, _TIMEOUT_S = 300.0, 30.0, 3.0
_MAX_BYTES, _MAX_KEYS = 262_144, 100
_KID = re.compile(r"[\x21-\x7e]{1,255}\Z")
_log = get_logger(__name__)


class JwksKeys:
    """Public keys by their id; a rotated key is found by its new id, and one that is gone is forgotten within minutes."""

    def __init__(
        self, url: str, *, clock: Callable[[], float] = time.monotonic, transport: httpx2.AsyncBaseTransport | None = None
    ) -> None:
        self._url = url
        self._clock = clock
        self._transport = transport
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at = self._tried_at = -math.inf
        self._turn = asyncio.Lock()

    async def get(self, kid: str | None) -> jwt.PyJWK:
        """Return a key; asks the provider at most twice a minute, whoever asks for what.

        Raises CredentialsError for a key it does not know, IdentityProviderError while none is known at all.
        """
        if kid is None or not _KID.match(kid):
            raise CredentialsError("the token does not say which key signed it")
        if kid not in self._keys or self._age() > _FRESH_S:
            await self._refresh(kid)
        if not self._keys:
            raise IdentityProviderError("the identity provider's keys cannot be read")
        if kid not in self._keys:
            raise CredentialsError("the token is signed by a key nobody knows")
        return self._keys[kid]

    def _age(self) -> float:
        return self._clock() - self._fetched_at

    async def _refresh(self, kid: str) -> None:
        async with self._turn:
            is_settled = kid in self._keys and self._age() <= _FRESH_S
            if is_settled or self._clock() - self._tried_at < _COOL_DOWN_S:
                return
            self._tried_at = self._clock()
            try:
                self._keys = await self._fetch()
                self._fetched_at = self._clock()
            except (httpx2.HTTPError, ValueError, jwt.PyJWTError, TimeoutError) as error:
                _log.warning("jwks_not_read", error_type=type(error).__name__)

    async def _fetch(self) -> dict[str, jwt.PyJWK]:
        body = bytearray()
        async with (
            asyncio.timeout(_TIMEOUT_S),
            httpx2.AsyncClient(timeout=_TIMEOUT_S, transport=self._transport, trust_env=False) as client,
            client.stream("GET", self._url) as response,
        ):
            response.raise_for_status()
            async for part in response.aiter_bytes():
                body += part
                if len(body) > _MAX_BYTES:
                    raise ValueError("too large")
        keys = jwt.PyJWKSet.from_json(body.decode()).keys[:_MAX_KEYS]
        return {key.key_id: key for key in keys if key.key_id and key.public_key_use in {"sig", None}}
