"""Rate limits: how often one caller may call, counted in Redis where there is one, else in this process."""

import hashlib
import os
import time
import warnings
from collections.abc import Callable
from math import ceil
from typing import Any

from fastapi import Request, Response
from redis import RedisError
from slowapi import Limiter
from slowapi.errors import RateLimitExceeded
from slowapi.util import get_remote_address

from advanced_rag.config import Settings
from advanced_rag.exceptions import RateLimitedError
from advanced_rag.models.identity import LOCAL, Principal
from advanced_rag.storage.shared import connection_options
from advanced_rag.telemetry import metrics

Check = Callable[..., None]

_UNKNOWN_WAIT_S = 60
_LOGINS = ("login", "register", "refresh", "change_password")


class RateLimits:
    """A dependency of every route under /v1: refuses a request beyond its route's limit or the overall one.

    It is a plain function call for FastAPI, so it runs in a thread: Redis never holds up the event loop. When Redis does
    not answer, each process counts for itself until it does.
    """

    def __init__(self, settings: Settings) -> None:
        chosen = settings.rate_limit
        self._overall = chosen.overall
        self._limiter = _limiter(settings)
        self._checks = {
            "ingest": self._check("ingest", chosen.ingest),
            "retrieve": self._check("retrieve", chosen.retrieve),
            "chat": self._check("chat", chosen.chat, _conversation),
        }
        login = self._check("login", chosen.login)
        self._checks |= dict.fromkeys(_LOGINS, login)
        self._other = self._check("other", None)
        metrics.begin(metrics.RATE_LIMITED, self._checks)

    def __call__(self, request: Request, response: Response) -> None:
        """Count a request, and tell what is left; raises RateLimitedError."""
        self.count(request)
        response.headers.update(self._headers(request))

    def count(self, request: Request, route: str | None = None) -> None:
        """Count a request, as one of another route where that is named; raises RateLimitedError."""
        route = route or request.scope["route"].name
        request.state.view_rate_limit = None  # slowapi sets none when Redis fails while other requests turn away from it
        try:
            self._checks.get(route, self._other)(request=request)
        except RateLimitExceeded:
            metrics.RATE_LIMITED.labels(route).inc()
            headers = self._headers(request)
            wait_s = int(headers.get("X-RateLimit-Reset", _UNKNOWN_WAIT_S))
            raise RateLimitedError("too many requests", wait_s, headers) from None

    def _check(self, scope: str, limit: str | None, key: Callable[[Request], str] | None = None) -> Check:
        def check(request: Request) -> None:
            """Do nothing but be limited."""

        check.__name__ = f"check_{scope}"  # slowapi keeps the limits of a function under its name
        limited: Check = self._limiter.shared_limit(self._overall, scope="overall")(check)
        if limit is not None:
            limited = self._limiter.shared_limit(limit, scope=scope, key_func=key or _caller)(limited)
        return limited

    def _headers(self, request: Request) -> dict[str, str]:
        """Return the limit that is nearest, what is left of it, and the seconds until it is whole again."""
        counted = request.state.view_rate_limit
        if counted is None:
            return {}
        limit, key = counted
        try:
            reset_at, remaining = self._limiter.limiter.get_window_stats(limit, *key)
        except RedisError:
            return {}
        return {
            "X-RateLimit-Limit": str(limit.amount),
            "X-RateLimit-Remaining": str(remaining),
            "X-RateLimit-Reset": str(max(1, ceil(reset_at - time.time()))),
        }


def _limiter(settings: Settings) -> Limiter:
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # that there are no settings in os.devnull
        return Limiter(
            key_func=_caller,
            strategy="moving-window",
            in_memory_fallback_enabled=True,
            swallow_errors=True,
            config_filename=os.devnull,  # else it reads settings of its own from .env in the working directory
            **_storage(settings),
        )


def _storage(settings: Settings) -> dict[str, Any]:
    if settings.redis.url is None:
        return {"storage_uri": "memory://"}
    return {
        "storage_uri": settings.redis.url.get_secret_value(),
        "storage_options": connection_options(settings.redis),
    }


def _conversation(request: Request) -> str:
    """Return the session a chat message belongs to, or the client where it opens a new one."""
    body = getattr(request, "parsed_body", None)
    session = body.get("session_id") if isinstance(body, dict) else None
    return _caller(request) if not isinstance(session, str) else _digest(session)


def _caller(request: Request) -> str:
    """Return who is counted: the user whose identity is proven, else the address."""
    principal: Principal | None = getattr(request.state, "principal", None)
    if principal is None or principal is LOCAL:
        return str(get_remote_address(request))
    return _digest(f"{principal.tenant}/{principal.user_id}")


def _digest(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()[:32]  # slowapi logs what it counts by
