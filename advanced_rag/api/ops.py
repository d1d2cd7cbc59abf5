"""For those who run the service: health and metrics."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from advanced_rag import __version__
from advanced_rag.api.body import StrictJsonRoute
from advanced_rag.api.identity import needs
from advanced_rag.opening import Opening
from advanced_rag.services.health import ComponentHealth

router = APIRouter(tags=["operations"])
metrics_router = APIRouter(route_class=StrictJsonRoute, tags=["operations"])


@router.get("/healthz/live")
async def live() -> dict[str, str]:
    """Tell that the process runs."""
    return {"status": "alive"}


@router.get("/healthz/ready", responses={503: {"description": "not ready: see status"}})
async def ready(request: Request, response: Response) -> dict[str, Any]:
    """Tell whether the service can take requests: ready, starting, draining, saturated, or not_ready for a dependency."""
    return await _readiness(request, response)


@router.get("/healthz", responses={503: {"description": "not ready: see status"}})
async def health(request: Request, response: Response) -> dict[str, Any]:
    """Tell how the process and its dependencies are doing."""
    opening: Opening = request.app.state.opening
    condition = asdict(opening.container.health.condition()) if opening.is_open else {}
    return {**await _readiness(request, response), "version": __version__, **condition}


async def _readiness(request: Request, response: Response) -> dict[str, Any]:
    opening: Opening = request.app.state.opening
    components = await opening.container.health.components() if opening.is_open else []
    status = _status(opening, components, is_saturated=request.app.state.occupancy.is_saturated)
    response.status_code = 200 if status == "ready" else 503
    return {"status": status, "components": {component.name: _without_name(component) for component in components}}


def _status(opening: Opening, components: list[ComponentHealth], *, is_saturated: bool) -> str:
    if not opening.is_open:
        return "starting"
    if opening.container.health.is_draining:
        return "draining"
    if not all(component.ok for component in components if component.required):
        return "not_ready"
    return "saturated" if is_saturated else "ready"


def _without_name(component: ComponentHealth) -> dict[str, Any]:
    return {key: value for key, value in asdict(component).items() if key != "name"}


@metrics_router.get("/metrics", response_class=Response, dependencies=[needs("metrics")])
async def metrics() -> Response:
    """Return the metrics for Prometheus."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
