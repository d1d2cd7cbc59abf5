"""Writes down who did what, around the routes that change something (or every one, where the settings say so)."""

from collections.abc import Awaitable

from asgi_correlation_id import correlation_id
from fastapi import Request, Response
from slowapi.util import get_remote_address

from advanced_rag.config import Settings
from advanced_rag.container import Container
from advanced_rag.exceptions import RagError
from advanced_rag.models.audit import Deed
from advanced_rag.models.identity import Principal
from advanced_rag.storage.tables import now

_READS = frozenset({"retrieve", "chat"})  # although they are posted
_MAX_TARGETS = 1000


async def audited(request: Request, work: Awaitable[Response]) -> Response:
    """Do the work of a request, and write down what came of it."""
    try:
        response = await work
    except RagError as error:
        await _write(request, error.code)
        raise
    await _write(request, "ok" if response.status_code < 400 else str(response.status_code))
    return response


async def _write(request: Request, outcome: str) -> None:
    principal: Principal | None = getattr(request.state, "principal", None)
    if principal is None or not _is_audited(request):
        return
    services: Container = request.app.state.opening.container
    deed = Deed(
        at=now(),
        actor=principal.user_id,
        credential=principal.credential,
        action=request.scope["route"].name,
        targets=(*map(str, request.path_params.values()), *getattr(request.state, "targets", ())[:_MAX_TARGETS]),
        origin=str(get_remote_address(request)),
        outcome=outcome,
        request_id=correlation_id.get(),
    )
    await services.identities.audit.write(principal.tenant, deed)


def _is_audited(request: Request) -> bool:
    settings: Settings = request.app.state.settings
    is_read = request.method == "GET" or request.scope["route"].name in _READS
    return settings.audit.enabled and (settings.audit.reads or not is_read)
