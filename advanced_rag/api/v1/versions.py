"""The history of documents: listed, read, restored; and what can be changed without sending a document again."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response, status

from advanced_rag.api.body import StrictJsonRoute
from advanced_rag.api.context import BoundedContext, Context, RequestContext
from advanced_rag.api.identity import needs
from advanced_rag.api.schemas.documents import AdmittedResponse, IngestedDocument, IngestResponse
from advanced_rag.api.schemas.versions import ChangeIn, VersionOut, VersionPage
from advanced_rag.api.v1.ingest import Answers, Wait, admitted, complaints, finished
from advanced_rag.exceptions import InvalidRequestError
from advanced_rag.models.documents import DocumentInput, IngestResult

router = APIRouter(route_class=StrictJsonRoute, tags=["documents"])

DocumentIdPath = Annotated[str, Path(max_length=255)]
VersionPath = Annotated[int, Path(ge=1, le=2**31 - 1)]
_DONE: dict[int | str, dict[str, Any]] = {
    200: {"model": IngestResponse, "description": "it holds"},
    202: {"model": AdmittedResponse, "description": "it holds once the job is ready"},
}


@router.get("/v1/documents/{document_id}/versions", dependencies=[needs("documents:read")], response_model_exclude_none=True)
async def list_versions(
    document_id: DocumentIdPath,
    context: BoundedContext,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(max_length=600)] = None,
) -> VersionPage:
    """List the versions of a document, newest first; what was there before it was opened to more people is its owner's."""
    page = await context.services.versions.page(context.principal, document_id, limit, cursor)
    return VersionPage(versions=[VersionOut.of(item) for item in page.items], next_cursor=page.next_cursor)


@router.get(
    "/v1/documents/{document_id}/versions/{version}",
    dependencies=[needs("documents:read")],
    response_model_exclude_none=True,
)
async def get_version(document_id: DocumentIdPath, version: VersionPath, context: BoundedContext) -> VersionOut:
    """Return a version that is or was visible, with its text."""
    return VersionOut.of(await context.services.versions.get(context.principal, document_id, version))


@router.post(
    "/v1/documents/{document_id}/versions/{version}/restore",
    dependencies=[needs("ingest")],
    status_code=status.HTTP_202_ACCEPTED,
    response_model=Answers,
    response_model_exclude_none=True,
    responses=_DONE,
)
async def restore_version(
    document_id: DocumentIdPath, version: VersionPath, response: Response, context: Context, *, wait: Wait = False
) -> Any:
    """Make a new version of an older one: its text, title, metadata, domain and file, with the rights there are now."""
    document = await context.services.versions.restored(context.principal, document_id, version)
    return await _take(document, response, context, wait=wait)


@router.patch(
    "/v1/documents/{document_id}",
    dependencies=[needs("ingest")],
    status_code=status.HTTP_202_ACCEPTED,
    response_model=Answers,
    response_model_exclude_none=True,
    responses=_DONE,
)
async def change_document(
    document_id: DocumentIdPath, body: ChangeIn, response: Response, context: Context, *, wait: Wait = False
) -> Any:
    """Change the title, the metadata or the domain of a document.

    Metadata alone hold from the moment this answers, and nothing is embedded again; the others make a new version.
    """
    errors = list(complaints("", body.metadata, body.domain, context.services.documents.domains))
    if errors:
        raise InvalidRequestError("the document cannot be changed so", fields=errors)
    changes = body.model_dump(exclude_unset=True)
    changed = await context.services.versions.change(context.principal, document_id, changes)
    if isinstance(changed, IngestResult):
        response.status_code = status.HTTP_200_OK
        return IngestResponse(documents=[IngestedDocument.of(changed)], request_id=context.request_id)
    return await _take(changed, response, context, wait=wait)


async def _take(document: DocumentInput, response: Response, context: RequestContext, *, wait: bool) -> Answers:
    if wait:
        return await finished(context, response, [document])
    return admitted(context, await context.services.ingest.queue(context.principal, [document]))
