"""Retrieval."""

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse

from advanced_rag.api.context import Context, RequestContext
from advanced_rag.api.hangup import CancellingRoute
from advanced_rag.api.identity import needs
from advanced_rag.api.profiling import profile
from advanced_rag.api.schemas.retrieve import RetrieveRequest, RetrieveResponse
from advanced_rag.exceptions import FeatureDisabledError, MissingScopeError
from advanced_rag.models.filters import parse_filter
from advanced_rag.models.retrieval import RetrieveQuery

router = APIRouter(route_class=CancellingRoute, tags=["retrieve"])


Profiled = Annotated[
    bool, Query(alias="profile", description="answer with a profile of the request as HTML, where server.profiling is on")
]


@router.post(
    "/v1/retrieve",
    dependencies=[needs("retrieve")],
    response_model=RetrieveResponse,
    response_model_exclude_none=True,
    responses={200: {"content": {"text/html": {}}}},
)
async def retrieve(
    body: RetrieveRequest, context: Context, *, profiled: Profiled = False
) -> RetrieveResponse | HTMLResponse:
    """Find the passages that fit a query."""
    if profiled:
        _check_profiling(context)
    query = RetrieveQuery(
        query=body.query,
        top_k=body.top_k,
        filters=parse_filter(body.filters or {}),
        domain=body.domain,
        search_mode=body.search_mode,
        weights=body.weights,
        rerank=body.rerank,
        mmr=body.mmr,
        mmr_lambda=body.mmr_lambda,
        explain=body.explain,
    )
    found = context.services.retrieve.retrieve(context.principal, query, context.deadline)
    if profiled:
        return await profile(found)
    return RetrieveResponse.of(await found, context.request_id)


def _check_profiling(context: RequestContext) -> None:
    if not context.services.settings.server.profiling:
        raise FeatureDisabledError("profiles are switched off: server.profiling")
    if not context.principal.may("profile"):
        raise MissingScopeError("the caller was not granted this scope", scope="profile")
