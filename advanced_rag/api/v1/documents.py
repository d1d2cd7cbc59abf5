"""Documents: in, out, listed."""

from collections import Counter
from collections.abc import Iterator
from typing import Annotated

import orjson
from fastapi import APIRouter, Path, Query

from advanced_rag.api.body import StrictJsonRoute
from advanced_rag.api.context import BoundedContext, Context
from advanced_rag.api.identity import needs
from advanced_rag.api.schemas.base import MAX_METADATA_BYTES
from advanced_rag.api.schemas.documents import (
    AccessIn,
    AccessOut,
    DeletedResponse,
    DocumentIn,
    DocumentOut,
    DocumentPage,
    IngestedDocument,
    IngestRequest,
    IngestResponse,
)
from advanced_rag.exceptions import FieldError, InvalidRequestError, NotFoundError
from advanced_rag.models.documents import DocumentInput
from advanced_rag.storage.filters import MAX_FACET_VALUES, count_values
from advanced_rag.storage.ids import content_hash
from advanced_rag.text.blocks import first_heading

router = APIRouter(route_class=StrictJsonRoute, tags=["documents"])

DocumentIdPath = Annotated[str, Path(max_length=255)]
_UNTITLED_CHARS = 80


@router.post("/v1/ingest", dependencies=[needs("ingest")], response_model_exclude_none=True)
async def ingest(body: IngestRequest, context: Context) -> IngestResponse:
    """Ingest documents; each is visible, whole, when this answers."""
    documents = [_input(item) for item in body.documents]
    _check(body.documents, documents, context.services.documents.domains)
    context.targets.extend(document.id for document in documents)
    results = await context.services.ingest.ingest(context.principal, documents)
    return IngestResponse(documents=[IngestedDocument.of(item) for item in results], request_id=context.request_id)


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
    if not await context.services.ingest.delete(context.principal, document_id):
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


def _input(item: DocumentIn) -> DocumentInput:
    title = item.title or first_heading(item.text) or item.text.strip().splitlines()[0][:_UNTITLED_CHARS]
    document_id = item.id or content_hash(item.title or "", item.text)[:32]
    return DocumentInput(
        document_id, title, item.text, item.metadata, item.domain, item.access.rights() if item.access else None
    )


def _check(items: list[DocumentIn], documents: list[DocumentInput], domains: frozenset[str]) -> None:
    counts = Counter(document.id for document in documents)
    errors = [
        error
        for position, (item, document) in enumerate(zip(items, documents, strict=True))
        for error in _complaints(f"documents.{position}", item, counts[document.id], domains)
    ]
    if errors:
        raise InvalidRequestError("some documents cannot be ingested; none was", fields=errors[:20])


def _complaints(field: str, item: DocumentIn, count: int, domains: frozenset[str]) -> Iterator[FieldError]:
    if count > 1:
        yield FieldError(f"{field}.id", "duplicate_id", "the same document stands more than once in the request")
    if item.domain is not None and item.domain not in domains:
        yield FieldError(f"{field}.domain", "unknown_domain", "no such domain is configured")
    if len(orjson.dumps(item.metadata)) > MAX_METADATA_BYTES:
        yield FieldError(f"{field}.metadata", "too_large", f"metadata has at most {MAX_METADATA_BYTES} bytes as JSON")
    elif count_values(item.metadata) > MAX_FACET_VALUES:
        yield FieldError(f"{field}.metadata", "too_many_values", f"metadata has at most {MAX_FACET_VALUES} values")
