"""Connections that stay open: who is there, from where, how many at once, and for how long."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from fastapi import FastAPI, Request, WebSocket, WebSocketDisconnect
from starlette.concurrency import run_in_threadpool
from starlette.websockets import WebSocketState

from advanced_rag.api.errors import problem, respond_to
from advanced_rag.api.limits import RateLimits
from advanced_rag.config import Settings
from advanced_rag.container import Container
from advanced_rag.exceptions import (
    CredentialsError,
    ForbiddenError,
    MissingCredentialsError,
    MissingScopeError,
    OverloadedError,
    RagError,
    RevokedCredentialsError,
    UnavailableError,
)
from advanced_rag.models.identity import LOCAL, Principal, Scope
from advanced_rag.services.identity import Authenticator
from advanced_rag.telemetry.logs import get_logger

PROTOCOL = "advanced-rag"  # what a browser offers beside its key, and is answered with
_BEARER = "bearer."
_NOT_TEXT = 1003
_log = get_logger(__name__)
_TIME_IS_UP, _TOO_LATE = 1001, "the connection has lasted as long as it may"
_NO_MORE = 1008
_LOOK_AGAIN_S = 1.0  # with what services take to hear of it, below the five seconds a revocation may take


class SocketCounts:
    """How many connections each caller has open."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: Counter[tuple[str, str]] = Counter()

    def check(self, principal: Principal) -> None:
        """Raise OverloadedError when the caller has as many connections as he may."""
        if self._open[principal.tenant, principal.user_id] >= self._most:
            raise OverloadedError("the caller has as many connections open as he may")

    @asynccontextmanager
    async def taken(self, principal: Principal) -> AsyncIterator[None]:
        """Count a connection while it is open; raises OverloadedError when the caller has as many as he may."""
        self.check(principal)
        key = (principal.tenant, principal.user_id)
        self._open[key] += 1
        try:
            yield
        finally:
            self._open[key] -= 1
            if not self._open[key]:
                del self._open[key]


@asynccontextmanager
async def admitted(socket: WebSocket, scope: Scope) -> AsyncIterator[Principal]:
    """Accept a connection of somebody who may, for as long as it may last; anybody else is refused as over HTTP."""
    try:
        principal = await _identify(socket, socket.app.state.settings, scope)
        async with lasting(socket.app, principal):
            await socket.accept(subprotocol=PROTOCOL if PROTOCOL in socket.scope["subprotocols"] else None)
            yield principal
    except WebSocketDisconnect:
        return
    except TimeoutError:
        await socket.close(_TIME_IS_UP, _TOO_LATE)
    except RagError as error:
        if socket.application_state is WebSocketState.CONNECTED:
            await socket.close(_NO_MORE, error.code)
        else:
            await socket.send_denial_response(respond_to(error, "socket"))


@asynccontextmanager
async def lasting(app: FastAPI, principal: Principal) -> AsyncIterator[None]:
    """Count a connection, and end it when its time is up, or when whoever opened it would be refused now.

    Raises OverloadedError, TimeoutError, CredentialsError, ForbiddenError.
    """
    settings: Settings = app.state.settings
    counts: SocketCounts = app.state.sockets
    refused: list[RagError] = []
    try:
        async with counts.taken(principal), asyncio.timeout(settings.server.websocket_lifetime_s) as limit:
            container: Container = app.state.opening.container
            watch = asyncio.create_task(_watch(container.identities.authenticator, principal, limit, refused))
            try:
                yield
            finally:
                watch.cancel()
    except TimeoutError:
        if refused:
            raise refused[0] from None
        raise


async def _watch(
    authenticator: Authenticator, principal: Principal, limit: asyncio.Timeout, refused: list[RagError]
) -> None:
    before: object = None
    while principal != LOCAL:
        try:
            standing = await authenticator.standing(principal)
            if before not in {None, standing}:
                raise RevokedCredentialsError("what the connection was opened with is not the same any more")
            before = standing
        except (CredentialsError, ForbiddenError) as error:
            refused.append(error)
            limit.reschedule(asyncio.get_running_loop().time())
            return
        except (UnavailableError, OverloadedError) as error:
            _log.warning("identity_not_confirmed", code=error.code)
        await asyncio.sleep(_LOOK_AGAIN_S)


async def heard(socket: WebSocket) -> str:
    """Return the next message; who sends something other than text is hung up on. Raises WebSocketDisconnect."""
    try:
        return await socket.receive_text()
    except KeyError:  # what Starlette makes of a binary frame
        await socket.close(_NOT_TEXT, "messages are text")
        raise WebSocketDisconnect(_NOT_TEXT) from None


async def count(socket: WebSocket, route: str) -> None:
    """Count a message as a request of a route; raises RateLimitedError, QuotaExceededError."""
    container: Container = socket.app.state.opening.container
    container.identities.quotas.admit(socket.state.principal.tenant)
    limits: RateLimits | None = socket.app.state.rate_limits
    if limits is not None:
        own_state = {"principal": socket.state.principal}  # slowapi counts once for each state
        request = Request({**socket.scope, "type": "http", "method": "POST", "state": own_state})
        await run_in_threadpool(limits.count, request, route)


def refusal(error: RagError) -> dict[str, Any]:
    """Return the message that tells of an error."""
    return {"event": "error", "data": problem(error.code, error.message, details=error.details)}


async def _identify(socket: WebSocket, settings: Settings, scope: Scope) -> Principal:
    _check_origin(socket, settings)
    principal = LOCAL if settings.auth.mode == "disabled" else await _known(socket, settings)
    if not principal.may(scope):
        raise MissingScopeError("the caller was not granted this scope", scope=scope)
    socket.state.principal = principal
    return principal


async def _known(socket: WebSocket, settings: Settings) -> Principal:
    container: Container = socket.app.state.opening.container
    ticket = socket.query_params.get("ticket")
    if ticket is not None:
        return await container.identities.tickets.take(ticket)
    credentials = _credentials(socket)
    if credentials is None and settings.auth.token_in_url:
        credentials = socket.query_params.get("token")
    if not credentials:
        raise MissingCredentialsError("send a key or token in a header, as a subprotocol, or a ticket in the address")
    return await container.identities.authenticator.authenticate(credentials)


def _credentials(socket: WebSocket) -> str | None:
    scheme, _, value = socket.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and value:
        return value.strip()
    offered = (name for name in socket.scope["subprotocols"] if name.startswith(_BEARER))
    return socket.headers.get("x-api-key") or next((name.removeprefix(_BEARER) for name in offered), None)


def _check_origin(socket: WebSocket, settings: Settings) -> None:
    """Browsers let any site open a connection, and say which one it was: none but our own, and those of the settings."""
    origin = socket.headers.get("origin")
    if origin is None or origin in settings.server.allowed_origins:
        return
    if urlsplit(origin).netloc != socket.headers.get("host"):
        raise ForbiddenError("connections from this site are not allowed")
