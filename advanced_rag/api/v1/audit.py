"""The audit log, for administrators."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query

from advanced_rag.api.body import StrictJsonRoute
from advanced_rag.api.context import BoundedContext
from advanced_rag.api.identity import needs
from advanced_rag.api.schemas.audit import AuditEntryOut, AuditPage, AuditReport
from advanced_rag.exceptions import InvalidRequestError
from advanced_rag.storage.audit import AuditFilter

router = APIRouter(route_class=StrictJsonRoute, tags=["admin"])

Wanted = Annotated[str | None, Query(max_length=255)]
Moment = Annotated[datetime | None, Query(description="with its offset from UTC, such as 2026-01-31T12:00:00Z")]


@router.get("/v1/audit", dependencies=[needs("admin:audit")])
async def list_audit(
    context: BoundedContext,
    actor: Wanted = None,
    action: Wanted = None,
    outcome: Wanted = None,
    since: Moment = None,
    until: Moment = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: Annotated[str | None, Query(max_length=600)] = None,
) -> AuditPage:
    """List what was done in the caller's tenant, newest first."""
    for field, moment in (("since", since), ("until", until)):
        if moment is not None and moment.tzinfo is None:
            raise InvalidRequestError.at(field, "a moment has its offset from UTC")
    wanted = AuditFilter(actor, action, outcome, since, until)
    page = await context.services.identities.audit.page(context.tenant, wanted, limit, cursor)
    return AuditPage(entries=[AuditEntryOut.of(entry) for entry in page.items], next_cursor=page.next_cursor)


@router.get("/v1/audit/verify", dependencies=[needs("admin:audit")])
async def verify_audit(context: BoundedContext) -> AuditReport:
    """Tell whether nobody changed, removed or put in an entry."""
    count, broken_at = await context.services.identities.audit.verify(context.tenant)
    return AuditReport(holds=broken_at is None, entries=count, broken_at=broken_at)
