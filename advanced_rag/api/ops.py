"""For those who run the service: health and metrics."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from advanced_rag import __version__
from advanced_rag.opening import Opening

router = APIRouter(tags=["operations"])
metrics_router = APIRouter(tags=["operations"])


@router.get("/healthz/live")
async def live() -> dict[str, str]:
    """Tell that the process runs."""
    return {"status": "alive"}


@router.get("/healthz/ready", responses={503: {"description": "a dependency does not answer"}})
async def ready(request: Request, response: Response) -> dict[str, Any]:
    """Tell whether every dependency answers."""
    return await _readiness(request.app.state.opening, response)


@router.get("/healthz", responses={503: {"description": "not ready"}})
async def health(request: Request, response: Response) -> dict[str, Any]:
    """Tell how the process and its dependencies are doing."""
    opening: Opening = request.app.state.opening
    condition = asdict(opening.container.health.condition()) if opening.is_open else {}
    return {**await _readiness(opening, response), "version": __version__, **condition}


async def _readiness(opening: Opening, response: Response) -> dict[str, Any]:
    if not opening.is_open:
        response.status_code = 503
        return {"status": "starting", "components": {}, "reason": opening.problem.code if opening.problem else None}
    health = opening.container.health
    components = await health.components()
    is_ready = not health.is_draining and all(component.ok for component in components)
    response.status_code = 200 if is_ready else 503
    return {
        "status": "ready" if is_ready else "draining" if health.is_draining else "not_ready",
        "components": {c.name: {"ok": c.ok, "latency_ms": c.latency_ms, "reason": c.reason} for c in components},
    }


@metrics_router.get("/metrics", response_class=Response)
async def metrics() -> Response:
    """Return the metrics for Prometheus."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
