"""Documents: listed, read, deleted, shared."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query

from advanced_rag.api.body import StrictJsonRoute
from advanced_rag.api.context import BoundedContext, Context
from advanced_rag.api.identity import needs
from advanced_rag.api.schemas.deletion import (
    BulkDeletedResponse,
    BulkDeleteRequest,
    DeletedResponse,
    ExpiryIn,
    TombstoneOut,
    TombstonePage,
)
from advanced_rag.api.schemas.documents import AccessIn, AccessOut, DocumentOut, DocumentPage
from advanced_rag.exceptions import MissingScopeError, NotFoundError
from advanced_rag.models.filters import parse_filter

router = APIRouter(route_class=StrictJsonRoute, tags=["documents"])

DocumentIdPath = Annotated[str, Path(max_length=255)]


@router.get(
    "/v1/documents",
    dependencies=[needs("documents:read")],
    response_model=DocumentPage | TombstonePage,
    response_model_exclude_none=True,
)
async def list_documents(
    context: BoundedContext,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(max_length=600)] = None,
    *,
    deleted: Annotated[bool, Query(description="with the scope admin:audit: what was deleted, by whom, and when")] = False,
) -> Any:
    """List documents, oldest first; or those that were deleted, the last one first."""
    if deleted:
        if not context.principal.may("admin:audit"):
            raise MissingScopeError("the caller was not granted this scope", scope="admin:audit")
        gone = await context.services.documents.deleted(context.tenant, limit, cursor)
        return TombstonePage(deleted=[TombstoneOut.of(item) for item in gone.items], next_cursor=gone.next_cursor)
    page = await context.services.documents.page(context.principal, limit, cursor)
    return DocumentPage(documents=[DocumentOut.of(item) for item in page.items], next_cursor=page.next_cursor)


@router.get("/v1/documents/{document_id}", dependencies=[needs("documents:read")])
async def get_document(document_id: DocumentIdPath, context: BoundedContext) -> DocumentOut:
    """Return a document with its text."""
    return DocumentOut.of(await context.services.documents.get(context.principal, document_id))


@router.delete("/v1/documents/{document_id}", dependencies=[needs("documents:delete")])
async def delete_document(document_id: DocumentIdPath, context: Context) -> DeletedResponse:
    """Delete a document; it cannot be found from the moment this answers, and the receipt tells what is left of it."""
    receipt = await context.services.removal.delete(context.principal, document_id)
    if receipt is None:
        raise NotFoundError("no such document")
    return DeletedResponse.of(document_id, receipt, context.request_id)


@router.post("/v1/documents/delete", dependencies=[needs("documents:delete")])
async def delete_documents(body: BulkDeleteRequest, context: Context) -> BulkDeletedResponse:
    """Count, or delete, the documents that a filter matches, of those the caller may see; legal holds keep theirs."""
    condition, bulk = parse_filter(body.filters), context.services.bulk_removal
    if body.dry_run:
        done = await bulk.preview(context.principal, condition, context.deadline)
    else:
        done = await bulk.delete(context.principal, condition, limit=body.limit, deadline=context.deadline)
        context.targets.extend(done.ids)
    return BulkDeletedResponse.of(done, dry_run=body.dry_run, request_id=context.request_id)


@router.put("/v1/documents/{document_id}/expiry", dependencies=[needs("documents:delete")])
async def set_expiry(document_id: DocumentIdPath, body: ExpiryIn, context: BoundedContext) -> ExpiryIn:
    """Say when a document is to be deleted by itself; it is, within some ten minutes after."""
    await context.services.documents.expire_at(context.principal, document_id, body.expires_at)
    return body


@router.get("/v1/documents/{document_id}/access", dependencies=[needs("documents:read")])
async def get_access(document_id: DocumentIdPath, context: BoundedContext) -> AccessOut:
    """Tell who may see a document."""
    return AccessOut.of(await context.services.rights.of(context.principal, document_id))


@router.put("/v1/documents/{document_id}/access", dependencies=[needs("documents:share")])
async def set_access(document_id: DocumentIdPath, body: AccessIn, context: Context) -> AccessOut:
    """Say who may see a document: it holds for every request from the moment this answers."""
    return AccessOut.of(await context.services.rights.change(context.principal, document_id, body.rights()))
