"""Retrieval."""

from fastapi import APIRouter

from advanced_rag.api.context import Context
from advanced_rag.api.hangup import CancellingRoute
from advanced_rag.api.schemas import RetrieveRequest, RetrieveResponse
from advanced_rag.models.filters import parse_filter
from advanced_rag.models.retrieval import RetrieveQuery

router = APIRouter(route_class=CancellingRoute, tags=["retrieve"])


@router.post("/v1/retrieve", response_model_exclude_none=True)
async def retrieve(body: RetrieveRequest, context: Context) -> RetrieveResponse:
    """Find the passages that fit a query."""
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
    result = await context.services.retrieve.retrieve(context.tenant, query, context.deadline)
    return RetrieveResponse.of(result, context.request_id)
