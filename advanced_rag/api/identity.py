"""Who asks: told once for each request, by what it carries in its headers and nothing else."""

from typing import Annotated, Any

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer, SecurityScopes
from starlette.concurrency import run_in_threadpool

from advanced_rag.api.limits import RateLimits
from advanced_rag.config import Settings
from advanced_rag.exceptions import (
    CredentialsError,
    ForbiddenError,
    MissingCredentialsError,
    MissingScopeError,
    OverloadedError,
    UnavailableError,
)
from advanced_rag.models.identity import LOCAL, Principal, Scope
from advanced_rag.services.identity import Authenticator
from advanced_rag.services.quotas import QuotaService

_bearer = HTTPBearer(auto_error=False, scheme_name="bearer", description="an API key or a token")
_header = APIKeyHeader(name="X-API-Key", auto_error=False, scheme_name="key", description="an API key")

Bearer = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
KeyHeader = Annotated[str | None, Depends(_header)]


async def identify(request: Request) -> None:
    """Note who asks; who is not known is counted by his address and refused.

    Raises CredentialsError, ForbiddenError, RateLimitedError, QuotaExceededError.
    """
    try:
        principal = await _principal(request)
    except (CredentialsError, ForbiddenError):
        limits: RateLimits | None = request.app.state.rate_limits
        if limits is not None:
            await run_in_threadpool(limits.count, request)
        raise
    request.state.principal = principal
    request.state.tenant = principal.tenant
    if request.scope["route"].name != "metrics":
        quotas: QuotaService = request.app.state.opening.container.identities.quotas
        quotas.admit(principal.tenant)


async def _principal(request: Request) -> Principal:
    settings: Settings = request.app.state.settings
    if settings.auth.mode == "disabled":
        return LOCAL
    credentials = await _credentials(request)
    if not credentials:
        raise MissingCredentialsError("send Authorization: Bearer with an API key or a token, or X-API-Key")
    authenticator: Authenticator = request.app.state.opening.container.identities.authenticator
    try:
        return await authenticator.authenticate(credentials)
    except (UnavailableError, OverloadedError):
        known = authenticator.recall(credentials) if request.scope["route"].name == "metrics" else None
        if known is None:
            raise
        return known


async def _credentials(request: Request) -> str | None:
    bearer = await _bearer(request)
    return bearer.credentials if bearer else await _header(request)


async def _authorize(request: Request, scopes: SecurityScopes, _key: KeyHeader, _token: Bearer) -> None:
    principal: Principal = request.state.principal
    missing = sorted(set(scopes.scopes) - principal.scopes)
    if missing:
        raise MissingScopeError("the caller was not granted this scope", scope=missing[0])


def needs(scope: Scope) -> Any:
    """Return the dependency of a route that needs a scope; it is also how the API's description tells of it."""
    return Security(_authorize, scopes=[scope])
