"""The application: routes, middleware, errors, and the life of its objects."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from asgi_correlation_id import CorrelationIdMiddleware
from fastapi import Depends, FastAPI

from advanced_rag import __version__
from advanced_rag.api import ops
from advanced_rag.api.admission import Admission, Occupancy
from advanced_rag.api.body import BodyLimits
from advanced_rag.api.errors import install_error_handlers
from advanced_rag.api.limits import RateLimits
from advanced_rag.api.middleware import ObserveRequests, SecurityHeaders
from advanced_rag.api.schemas.errors import ErrorResponse
from advanced_rag.api.sockets import SocketCounts
from advanced_rag.api.v1 import (
    admin,
    audit,
    auth,
    chat,
    chat_socket,
    documents,
    holds,
    index,
    ingest,
    job_socket,
    jobs,
    reindex,
    retrieve,
    sessions,
    versions,
)
from advanced_rag.config import Settings
from advanced_rag.environment import load_settings
from advanced_rag.opening import Opening, keep_what_is_loaded
from advanced_rag.telemetry.logs import logging_to_stderr
from advanced_rag.telemetry.tracing import tracing

_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
_ERRORS: dict[int | str, dict[str, Any]] = {
    code: {"model": ErrorResponse} for code in (400, 401, 403, 404, 408, 409, 413, 415, 422, 429, 503)
}


def create_app(settings: Settings | None = None, opening: Opening | None = None) -> FastAPI:
    """Return the application; it opens and closes its container itself unless somebody else does."""
    settings = settings or load_settings()
    server = settings.server
    app = FastAPI(
        title="advanced-rag",
        version=__version__,
        lifespan=_lifespan(settings, opening),
        docs_url="/docs" if server.docs else None,
        openapi_url="/openapi.json" if server.docs else None,
        redoc_url=None,
        separate_input_output_schemas=False,  # else what is left out of an answer when it is empty is said to be required
        telemetry={"tracing": settings.tracing.enabled, "metrics": False, "logs": False, "operation_spans": False},
    )
    app.state.opening = opening
    app.state.occupancy = Occupancy(settings.admission)
    app.state.body_limits = BodyLimits(
        server.max_body_bytes, {"ingest": server.ingest_max_body_bytes}, server.body_timeout_s, server.body_bytes_per_s
    )
    app.state.settings = settings
    app.state.sockets = SocketCounts(server.websockets_per_caller)
    app.state.rate_limits = RateLimits(settings) if settings.rate_limit.enabled else None
    limits = [Depends(app.state.rate_limits)] if settings.rate_limit.enabled else []
    app.include_router(ingest.uploads, dependencies=limits)
    for module in (ingest, documents, versions, jobs, retrieve, chat, sessions, index, reindex, auth, admin, audit, holds):
        app.include_router(module.router, responses=_ERRORS, dependencies=limits)
    for sockets in (chat_socket, job_socket):
        app.include_router(sockets.router)
    app.include_router(ops.router)
    if server.metrics:
        app.include_router(ops.metrics_router)
    install_error_handlers(app)
    app.add_middleware(Admission, occupancy=app.state.occupancy)
    app.add_middleware(ObserveRequests)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(CorrelationIdMiddleware, validator=lambda value: _REQUEST_ID.match(value) is not None)
    return app


def _lifespan(settings: Settings, opening: Opening | None) -> Any:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if opening is not None:
            yield
            return
        with logging_to_stderr(settings.logging), tracing(settings.tracing):
            async with Opening(settings, waits=True) as own:
                app.state.opening = own
                keep_what_is_loaded()
                yield

    return lifespan
