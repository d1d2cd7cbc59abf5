"""Load shedding: what cannot be answered in good time is turned away at once."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.types import ASGIApp, Receive, Scope, Send

from advanced_rag.api.errors import respond_to
from advanced_rag.config import AdmissionSettings
from advanced_rag.exceptions import OverloadedError
from advanced_rag.telemetry import metrics


class Occupancy:
    """Counts the requests in work of each kind."""

    def __init__(self, settings: AdmissionSettings) -> None:
        self._limits: dict[str, int] = settings.model_dump()
        self._active: Counter[str] = Counter()
        metrics.begin(metrics.SHED, self._limits)

    @property
    def is_saturated(self) -> bool:
        """Whether the next question would be turned away."""
        return any(self.is_full(kind) for kind in ("retrieve", "chat"))

    def is_full(self, kind: str) -> bool:
        """Whether there is no room for another request."""
        return self._active[kind] >= self._limits[kind]

    @contextmanager
    def taken(self, kind: str) -> Iterator[None]:
        """Count a request while it is in work."""
        self._active[kind] += 1
        try:
            yield
        finally:
            self._active[kind] -= 1

    def kind(self, scope: Scope) -> str | None:
        """Return the kind of a request; None for health, metrics and documentation, which are never turned away.

        Whoever follows a job takes long and costs little: connections are counted for each caller.
        """
        if scope["type"] != "http" or not scope["path"].startswith("/v1/") or scope["path"].endswith("/events"):
            return None
        first = scope["path"].split("/", 3)[2]
        return first if first in self._limits else "other"


class Admission:
    """Passes requests on while there is room for them."""

    def __init__(self, app: ASGIApp, occupancy: Occupancy) -> None:
        self._app = app
        self._occupancy = occupancy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or turn it away at once."""
        kind = self._occupancy.kind(scope)
        if kind is None:
            await self._app(scope, receive, send)
        elif self._occupancy.is_full(kind):
            metrics.SHED.labels(kind).inc()
            error = OverloadedError("the service has as much to do as it can; come back in a moment")
            await respond_to(error, kind)(scope, receive, send)
        else:
            with self._occupancy.taken(kind):
                await self._app(scope, receive, send)
