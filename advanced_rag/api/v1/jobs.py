"""Jobs: what becomes of documents that were taken in."""

import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated

from fastapi import APIRouter, FastAPI, Header, Path, Query, Request, Response, status
from fastapi.sse import EventSourceResponse, format_sse_event

from advanced_rag.api.body import StrictJsonRoute
from advanced_rag.api.context import BoundedContext, Context, RequestContext
from advanced_rag.api.errors import problem
from advanced_rag.api.identity import needs
from advanced_rag.api.schemas.jobs import JobEventOut, JobOut, JobPage, PurgedResponse
from advanced_rag.api.sockets import SocketCounts, lasting
from advanced_rag.exceptions import RagError
from advanced_rag.models.jobs import ENDED, MAX_CURSOR, JobEvent, JobState

router = APIRouter(route_class=StrictJsonRoute, tags=["jobs"])

JobIdPath = Annotated[str, Path(max_length=64)]
EventCursor = Annotated[int | None, Query(ge=0, le=MAX_CURSOR, description="go on after this event")]
LastEventId = Annotated[int | None, Header(alias="Last-Event-ID", ge=0, le=MAX_CURSOR)]
_JOB_BEGINNING = 0


@router.get("/v1/jobs", dependencies=[needs("ingest")], response_model_exclude_none=True)
async def list_jobs(
    context: BoundedContext,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(max_length=600)] = None,
    state: Annotated[JobState | None, Query(alias="status")] = None,
) -> JobPage:
    """List jobs, newest first: one's own, or with the scope ``documents:all`` all of the tenant's."""
    page = await context.services.jobs.page(context.principal, limit, cursor, state)
    return JobPage(jobs=[JobOut.of(item) for item in page.items], next_cursor=page.next_cursor)


@router.delete("/v1/jobs/dead", dependencies=[needs("admin:index")])
async def purge_dead_jobs(context: Context) -> PurgedResponse:
    """Remove the dead jobs of the tenant, with their files."""
    return PurgedResponse(purged=await context.services.jobs.purge_dead(context.tenant), request_id=context.request_id)


@router.get("/v1/jobs/{job_id}", dependencies=[needs("ingest")], response_model_exclude_none=True)
async def get_job(job_id: JobIdPath, context: BoundedContext) -> JobOut:
    """Tell how far a job has come, and what was counted at each stage."""
    job = await context.services.jobs.get(context.principal, job_id)
    return JobOut.of(job, await context.services.jobs.stages(context.principal, job_id))


@router.post("/v1/jobs/{job_id}/cancel", dependencies=[needs("ingest")], response_model_exclude_none=True)
async def cancel_job(job_id: JobIdPath, context: BoundedContext) -> JobOut:
    """Stop a job, at whatever stage it is; what was there of the document before stays."""
    return JobOut.of(await context.services.jobs.cancel(context.principal, job_id))


@router.post("/v1/jobs/{job_id}/retry", dependencies=[needs("ingest")], response_model_exclude_none=True)
async def retry_job(job_id: JobIdPath, context: BoundedContext) -> JobOut:
    """Queue a dead job again."""
    return JobOut.of(await context.services.jobs.retry(context.principal, job_id))


@router.get(
    "/v1/jobs/{job_id}/events",
    dependencies=[needs("ingest")],
    response_class=Response,
    responses={
        200: {"content": {"text/event-stream": {}}},
        204: {"description": "the job has ended, and nothing was told after the cursor: there is nothing to come back for"},
    },
)
async def follow_job(
    job_id: JobIdPath,
    request: Request,
    context: Context,
    cursor: EventCursor = None,
    last_event_id: LastEventId = None,
) -> Response:
    """Follow a job, from its beginning or from a cursor on, as server-sent events; the stream ends with the job."""
    job = await context.services.jobs.get(context.principal, job_id)
    after = next((number for number in (last_event_id, cursor) if number is not None), _JOB_BEGINNING)
    if job.state in ENDED and not await context.services.jobs.stages(context.principal, job_id, after):
        return Response(status_code=status.HTTP_204_NO_CONTENT)
    counts: SocketCounts = request.app.state.sockets
    counts.check(context.principal)
    return EventSourceResponse(_events(job_id, after, context, request.app), headers={"Cache-Control": "no-cache"})


async def _events(job_id: str, after: int, context: RequestContext, app: FastAPI) -> AsyncIterator[bytes]:
    try:
        async with (
            lasting(app, context.principal),
            aclosing(context.services.feed.follow(context.tenant, after, job_id=job_id)) as events,
        ):
            async for event in events:
                yield _wire(event)
                if event.news.state in ENDED:
                    return
    except TimeoutError:
        return  # clients come back with the last cursor
    except RagError as error:
        yield format_sse_event(event="error", data_str=json.dumps(problem(error.code, error.message)))


def _wire(event: JobEvent) -> bytes:
    return format_sse_event(event="job", data_str=JobEventOut.of(event).model_dump_json(), id=str(event.number))
