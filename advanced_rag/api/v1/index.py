"""The index: what it holds, and whether it is right."""

from fastapi import APIRouter

from advanced_rag import __version__
from advanced_rag.api.body import StrictJsonRoute
from advanced_rag.api.context import BoundedContext, Context
from advanced_rag.api.identity import needs
from advanced_rag.api.schemas.index import CollectionOut, StatusResponse, VerifyRequest, VerifyResponse
from advanced_rag.api.schemas.usage import UsageOut
from advanced_rag.exceptions import MissingScopeError

router = APIRouter(route_class=StrictJsonRoute, tags=["index"])


@router.get("/v1/status", dependencies=[needs("status")])
async def get_status(context: BoundedContext) -> StatusResponse:
    """Tell what the service holds and is made of."""
    documents, chunks = await context.services.documents.counts(context.principal)
    index = await context.services.health.index(context.tenant)
    return StatusResponse(
        version=__version__,
        documents=documents,
        chunks=chunks,
        collections=index.collections,
        encoder=index.encoder,
        runtime=index.runtime,
        jobs=index.jobs,
    )


@router.get("/v1/usage", dependencies=[needs("status")])
async def get_usage(context: BoundedContext) -> UsageOut:
    """Tell what the caller's tenant holds, has used today, and may."""
    return UsageOut.of(await context.services.identities.quotas.usage(context.tenant))


@router.post("/v1/index/verify", dependencies=[needs("admin:index")])
async def verify(body: VerifyRequest, context: Context) -> VerifyResponse:
    """Compare SQL and Milvus, and mend what differs when asked to."""
    if body.all_tenants and not context.principal.may("admin:reindex"):
        raise MissingScopeError("the caller was not granted this scope", scope="admin:reindex")
    service = context.services.verify
    if body.all_tenants:
        report = await service.verify_all(repair=body.repair)
    else:
        report = await service.verify(context.tenant, repair=body.repair)
    collections = [CollectionOut.model_validate(item) for item in report.collections]
    return VerifyResponse(agrees=report.agrees, collections=collections, request_id=context.request_id)
