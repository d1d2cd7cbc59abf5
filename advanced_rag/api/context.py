"""What a route gets besides its body."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated

from asgi_correlation_id import correlation_id
from fastapi import Depends, Header, Request

from advanced_rag.container import Container
from advanced_rag.models.documents import TenantId
from advanced_rag.models.identity import Principal
from advanced_rag.resilience.deadline import Deadline

TimeoutHeader = Annotated[
    float | None,
    Header(alias="X-Request-Timeout", gt=0, allow_inf_nan=False, description="seconds the caller waits at most"),
]


@dataclass(frozen=True, slots=True)
class RequestContext:
    """Who asks, what answers, and by when."""

    services: Container
    principal: Principal
    deadline: Deadline
    request_id: str | None
    targets: list[str]  # for the audit log: what the request is about, besides the ids in its path

    @property
    def tenant(self) -> TenantId:
        """Whose documents these are."""
        return self.principal.tenant


async def request_context(request: Request, timeout_s: TimeoutHeader = None) -> RequestContext:
    """Make the context of a request of a route that needs a scope, and so knows who asks."""
    services: Container = request.app.state.opening.container
    longest_s = services.settings.server.request_timeout_s
    deadline = Deadline.after(min(timeout_s or longest_s, longest_s))
    request.state.targets = []
    return RequestContext(services, request.state.principal, deadline, correlation_id.get(), request.state.targets)


def services(request: Request) -> Container:
    """Return what answers on a route anybody may call."""
    container: Container = request.app.state.opening.container
    return container


Services = Annotated[Container, Depends(services)]
Context = Annotated[RequestContext, Depends(request_context)]


async def bounded_context(context: Context) -> AsyncIterator[RequestContext]:
    """Make the context of a route that is cut off at the deadline, wherever it waits then; not for a CancellingRoute."""
    async with context.deadline.limit("the route"):
        yield context


BoundedContext = Annotated[RequestContext, Depends(bounded_context, scope="function")]
