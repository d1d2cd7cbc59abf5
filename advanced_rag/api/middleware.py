"""Around every request: counting, timing, one log line, headers that keep browsers from mischief."""

import time
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from advanced_rag.telemetry import metrics
from advanced_rag.telemetry.logs import get_logger

_log = get_logger("advanced_rag.access")
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)
_STRICT_HEADERS = (*_HEADERS, (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"))


class ObserveRequests:
    """Plain ASGI: nothing is buffered, a stream stays a stream."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and note what came back."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with metrics.ACTIVE_REQUESTS.track_inprogress():
            try:
                await self._app(scope, receive, watch)
            finally:
                _note(scope, status, time.perf_counter() - started)


def _note(scope: Scope, status: int, elapsed_s: float) -> None:
    route: Any = scope.get("route")
    endpoint = getattr(route, "name", None) or "none"
    method = scope["method"] if scope["method"] in {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"} else "other"
    metrics.REQUESTS.labels(endpoint, method, str(status)).inc()
    metrics.REQUEST_SECONDS.labels(endpoint).observe(elapsed_s)
    tenant = scope.get("state", {}).get("tenant")
    duration_ms = round(elapsed_s * 1000, 2)
    _log.info("request", endpoint=endpoint, method=method, status=status, tenant=tenant, duration_ms=duration_ms)


class SecurityHeaders:
    """Nothing of this service is to be framed, sniffed, cached or run by a browser; ``/docs`` alone brings scripts."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Add the headers to what is answered."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = _HEADERS if scope["path"].startswith("/docs") else _STRICT_HEADERS

        async def protect(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(item for item in headers if item[0] not in present)]
            await send(message)

        await self._app(scope, receive, protect)
