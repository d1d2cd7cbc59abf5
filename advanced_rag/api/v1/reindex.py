"""Building the index anew, for operators: it is shared by all tenants."""

from fastapi import APIRouter, status

from advanced_rag.api.body import StrictJsonRoute
from advanced_rag.api.context import BoundedContext, Context
from advanced_rag.api.identity import needs
from advanced_rag.api.schemas.reindex import (
    GenerationOut,
    KindPlanOut,
    PlanOut,
    PlanRequest,
    ReindexRequest,
    ReindexStatus,
    RollbackOut,
    RollbackRequest,
    RunOut,
)
from advanced_rag.models.reindex import ReindexOptions

router = APIRouter(route_class=StrictJsonRoute, tags=["index"], dependencies=[needs("admin:reindex")])


@router.post("/v1/index/reindex/plan")
async def plan_reindex(body: PlanRequest, context: Context) -> PlanOut:
    """Tell what building the index anew would do, and change nothing."""
    plan = await context.services.reindex.plan(body.kinds)
    return PlanOut(kinds=[KindPlanOut.model_validate(item) for item in plan])


@router.post("/v1/index/reindex", status_code=status.HTTP_202_ACCEPTED)
async def start_reindex(body: ReindexRequest, context: BoundedContext) -> RunOut:
    """Begin to build generations beside those that are searched; they are switched once they agree with the database."""
    options = ReindexOptions(
        kinds=None if body.kinds is None else tuple(body.kinds),
        batch_size=body.batch_size,
        verify=body.verify,
        force=body.force,
        tenant=context.tenant,
        evaluation=body.evaluation.as_set() if body.evaluation else None,
    )
    run = await context.services.reindex.start(options)
    context.targets.append(run.id)
    return RunOut.of(run)


@router.get("/v1/index/reindex")
async def get_reindex(context: BoundedContext) -> ReindexStatus:
    """Tell how far the last run has come, and which generations there are."""
    run = await context.services.reindex.latest()
    stored = await context.services.reindex.generations()
    return ReindexStatus(
        run=RunOut.of(run) if run else None,
        generations=[GenerationOut.of(item) for item in stored],
    )


@router.post("/v1/index/reindex/cancel")
async def cancel_reindex(context: BoundedContext) -> ReindexStatus:
    """Stop the run, and give up what was built and not switched."""
    await context.services.reindex.cancel()
    return await get_reindex(context)


@router.post("/v1/index/rollback")
async def roll_back_index(body: RollbackRequest, context: Context) -> RollbackOut:
    """Search again what was replaced last; what is searched now is kept, so that this can be taken back."""
    return RollbackOut(live=await context.services.reindex.rollback(body.kinds))
