"""Legal holds, and forgetting, for administrators."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query, status

from advanced_rag.api.body import StrictJsonRoute
from advanced_rag.api.context import BoundedContext, Context
from advanced_rag.api.identity import needs
from advanced_rag.api.schemas.holds import ForgetRequest, HoldList, HoldOut, HoldRequest, ReceiptList, ReceiptOut
from advanced_rag.exceptions import InvalidRequestError

router = APIRouter(route_class=StrictJsonRoute, tags=["admin"])

Moment = Annotated[datetime | None, Query(description="with its offset from UTC, such as 2026-01-31T12:00:00Z")]


@router.post("/v1/holds", dependencies=[needs("admin:holds")], status_code=status.HTTP_201_CREATED)
async def create_hold(body: HoldRequest, context: BoundedContext) -> HoldOut:
    """Keep a document, what is a user's, or everything of the tenant from being deleted."""
    hold = await context.services.forget.hold(context.principal, body.kind, body.target or "", body.reason)
    context.targets.extend([hold.id, hold.target])
    return HoldOut.model_validate(hold)


@router.get("/v1/holds", dependencies=[needs("admin:holds")])
async def list_holds(context: BoundedContext) -> HoldList:
    """List the holds of the caller's tenant, newest first, those that were released too."""
    holds = await context.services.forget.holds(context.tenant)
    return HoldList(holds=[HoldOut.model_validate(hold) for hold in holds])


@router.delete("/v1/holds/{hold_id}", dependencies=[needs("admin:holds")], status_code=status.HTTP_204_NO_CONTENT)
async def release_hold(hold_id: Annotated[str, Path(max_length=64)], context: BoundedContext) -> None:
    """End a hold."""
    await context.services.forget.release(context.tenant, hold_id)


@router.post("/v1/forget", dependencies=[needs("admin:forget")])
async def forget(body: ForgetRequest, context: Context) -> ReceiptOut:
    """Remove a document with what was said from it, or a user with what is his alone, and prove that nothing is left."""
    receipt = await context.services.forget.forget(context.principal, body.kind, body.target)
    context.targets.append(receipt.id)
    return ReceiptOut.model_validate(receipt)


@router.get("/v1/receipts", dependencies=[needs("admin:forget")])
async def list_receipts(context: BoundedContext, since: Moment = None, until: Moment = None) -> ReceiptList:
    """Report what was forgotten in a period, newest first."""
    for field, moment in (("since", since), ("until", until)):
        if moment is not None and moment.tzinfo is None:
            raise InvalidRequestError.at(field, "a moment has its offset from UTC")
    receipts = await context.services.forget.receipts(context.tenant, since, until)
    return ReceiptList(receipts=[ReceiptOut.model_validate(receipt) for receipt in receipts])
