"""Documents: listed, read, deleted, shared."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from advanced_rag.api.body import StrictJsonRoute
from advanced_rag.api.context import BoundedContext, Context
from advanced_rag.api.identity import needs
from advanced_rag.api.schemas.documents import (
    AccessIn,
    AccessOut,
    DeletedResponse,
    DocumentOut,
    DocumentPage,
)
from advanced_rag.exceptions import NotFoundError

router = APIRouter(route_class=StrictJsonRoute, tags=["documents"])

DocumentIdPath = Annotated[str, Path(max_length=255)]


@router.get("/v1/documents", dependencies=[needs("documents:read")], response_model_exclude_none=True)
async def list_documents(
    context: BoundedContext,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(max_length=600)] = None,
) -> DocumentPage:
    """List documents, oldest first."""
    page = await context.services.documents.page(context.principal, limit, cursor)
    return DocumentPage(documents=[DocumentOut.of(item) for item in page.items], next_cursor=page.next_cursor)


@router.get("/v1/documents/{document_id}", dependencies=[needs("documents:read")])
async def get_document(document_id: DocumentIdPath, context: BoundedContext) -> DocumentOut:
    """Return a document with its text."""
    return DocumentOut.of(await context.services.documents.get(context.principal, document_id))


@router.delete("/v1/documents/{document_id}", dependencies=[needs("documents:delete")])
async def delete_document(document_id: DocumentIdPath, context: Context) -> DeletedResponse:
    """Delete a document; it cannot be found from the moment this answers."""
    if not await context.services.removal.delete(context.principal, document_id):
        raise NotFoundError("no such document")
    return DeletedResponse(id=document_id, request_id=context.request_id)


@router.get("/v1/documents/{document_id}/access", dependencies=[needs("documents:read")])
async def get_access(document_id: DocumentIdPath, context: BoundedContext) -> AccessOut:
    """Tell who may see a document."""
    return AccessOut.of(await context.services.rights.of(context.principal, document_id))


@router.put("/v1/documents/{document_id}/access", dependencies=[needs("documents:share")])
async def set_access(document_id: DocumentIdPath, body: AccessIn, context: Context) -> AccessOut:
    """Say who may see a document: it holds for every request from the moment this answers."""
    return AccessOut.of(await context.services.rights.change(context.principal, document_id, body.rights()))
