"""Load shedding: what cannot be answered in good time is turned away at once."""

from collections import Counter

from starlette.types import ASGIApp, Receive, Scope, Send

from advanced_rag.api.errors import respond_to
from advanced_rag.config import AdmissionSettings
from advanced_rag.exceptions import OverloadedError
from advanced_rag.telemetry import metrics


class Admission:
    """Bounds the requests in work of each kind; health, metrics and documentation are never turned away."""

    def __init__(self, app: ASGIApp, settings: AdmissionSettings) -> None:
        self._app = app
        self._limits = settings.model_dump()
        self._active: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on while there is room for it."""
        kind = self._kind(scope)
        if kind is None:
            await self._app(scope, receive, send)
        elif self._active[kind] >= self._limits[kind]:
            metrics.SHED.labels(kind).inc()
            error = OverloadedError("the service has as much to do as it can; come back in a moment")
            await respond_to(error, kind)(scope, receive, send)
        else:
            self._active[kind] += 1
            try:
                await self._app(scope, receive, send)
            finally:
                self._active[kind] -= 1

    def _kind(self, scope: Scope) -> str | None:
        if scope["type"] != "http" or not scope["path"].startswith("/v1/"):
            return None
        first = scope["path"].split("/", 3)[2]
        return first if first in self._limits else "other"
