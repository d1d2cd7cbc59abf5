"""The way in: texts as JSON, files, the address of one; finished in the background, or while the caller waits."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Header, Query, Request, Response, status

from advanced_rag.api.body import StrictJsonRoute
from advanced_rag.api.context import Context, RequestContext
from advanced_rag.api.identity import needs
from advanced_rag.api.schemas.base import MAX_METADATA_BYTES
from advanced_rag.api.schemas.documents import (
    AdmittedDocument,
    AdmittedResponse,
    DocumentIn,
    IngestedDocument,
    IngestRequest,
    IngestResponse,
    UploadIn,
)
from advanced_rag.api.uploads import MultipartRoute, Upload, fetched, received
from advanced_rag.exceptions import FieldError, InvalidRequestError, RagError
from advanced_rag.models.documents import DocumentInput
from advanced_rag.services.intake import Admitted, RequestKey
from advanced_rag.storage.filters import MAX_FACET_VALUES, count_values
from advanced_rag.storage.ids import content_hash
from advanced_rag.text.blocks import first_heading

uploads = APIRouter(route_class=MultipartRoute, tags=["documents"])
router = APIRouter(route_class=StrictJsonRoute, tags=["documents"])

Wait = Annotated[bool, Query(description="answer when the documents can be found, or after a while with 202 all the same")]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        description="the same key and body get the same answer for 24 hours",
    ),
]
Answers = AdmittedResponse | IngestResponse
_UNTITLED_CHARS = 80
_MULTIPART: dict[str, Any] = {
    "requestBody": {
        "content": {
            "application/json": {
                "examples": {
                    "texts": {
                        "summary": "two texts",
                        "value": {
                            "documents": [
                                {
                                    "id": "hello",
                                    "text": "# Hello\n\nThe spare key is with Mira.",
                                    "metadata": {"team": "office"},
                                },
                                {"text": "The gate closes at ten.", "access": {"visibility": "group", "groups": ["night"]}},
                            ]
                        },
                    },
                    "address": {"summary": "a file on the web", "value": {"url": "https://example.org/handbook.pdf"}},
                }
            },
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["files"],
                    "properties": {
                        "files": {"type": "array", "items": {"type": "string", "format": "binary"}, "minItems": 1},
                        "documents": {
                            "type": "string",
                            "description": "JSON: a list with one object per file, each with any of id, title, metadata, "
                            "domain, access, priority",
                            "example": '[{"id": "handbook", "metadata": {"team": "office"}}]',
                        },
                    },
                }
            },
        }
    }
}


@uploads.post(
    "/v1/ingest",
    name="ingest",
    dependencies=[needs("ingest")],
    status_code=status.HTTP_202_ACCEPTED,
    response_model_exclude_none=True,
    include_in_schema=False,
)
async def ingest_files(
    request: Request, response: Response, context: Context, wait: Wait = False, idempotency_key: IdempotencyKey = None
) -> Answers:
    """Take files in."""
    async with received(request, context.services.files, context.tenant) as arrived:
        said = [(item.source.sha256, item.source.name, item.told.model_dump(mode="json")) for item in arrived]
        taken = await _queue(arrived, context, _key(context, idempotency_key, said))
    return await _answer(context, response, taken, wait=wait)


@router.post(
    "/v1/ingest",
    dependencies=[needs("ingest")],
    status_code=status.HTTP_202_ACCEPTED,
    response_model=Answers,
    response_model_exclude_none=True,
    responses={200: {"model": IngestResponse, "description": "with wait: everything can be found"}},
    openapi_extra=_MULTIPART,
)
async def ingest(
    body: IngestRequest, response: Response, context: Context, wait: Wait = False, idempotency_key: IdempotencyKey = None
) -> Any:
    """Take documents in: texts, or as multipart/form-data files; each is visible, whole, once its job is ready."""
    key = _key(context, idempotency_key, body.model_dump(mode="json"))
    if body.url is not None:
        taken = await _fetch(body.url, body.document or UploadIn(), context, key)
        return await _answer(context, response, taken, wait=wait)
    told = body.documents or []
    documents = [_text(item) for item in told]
    _check(told, documents, context.services.documents.domains)
    context.targets.extend(document.id for document in documents)
    if not wait or key is not None:
        taken = await context.services.ingest.queue(context.principal, documents, key)
        return await _answer(context, response, taken, wait=wait)
    return await finished(context, response, documents)


async def finished(context: RequestContext, response: Response, documents: Sequence[DocumentInput]) -> Answers:
    """Ingest documents here, and answer with what became of them, or after a while with where to ask."""
    done = await context.services.ingest.ingest(context.principal, documents, within_s=context.deadline.remaining())
    if done.results is None:
        return admitted(context, done.admitted)
    response.status_code = status.HTTP_200_OK
    return _ingested(context, [IngestedDocument.of(item) for item in done.results])


async def _fetch(url: str, told: UploadIn, context: RequestContext, key: RequestKey | None) -> list[Admitted]:
    """Queue what is behind an address; who repeats himself is answered without asking there again."""
    before = await context.services.ingest.answered(context.principal, key) if key else None
    if before is not None:
        return before
    async with fetched(url, told, context.services, context.tenant) as arrived:
        return await _queue(arrived, context, key)


async def _queue(arrived: Sequence[Upload], context: RequestContext, key: RequestKey | None) -> list[Admitted]:
    """Queue files; those there is nothing to do for are not kept. The same file sent twice is one document."""
    distinct = _distinct(arrived)
    documents = [_file(item) for item in distinct]
    _check([item.told for item in distinct], documents, context.services.documents.domains)
    context.targets.extend(document.id for document in documents)
    taken = await context.services.ingest.queue(context.principal, documents, key)
    answers = {item.document_id: item for item in taken}
    queued = {item.job_id for item in taken if item.status == "queued"}
    for item in arrived:
        if item.source.job_id not in queued:
            await asyncio.to_thread(context.services.files.remove, context.tenant, item.source.job_id)
    return [answers[_file(item).id] for item in arrived]


def _distinct(arrived: Sequence[Upload]) -> list[Upload]:
    """Return the files without those that are the same as an earlier one, in all that is said of them too."""
    firsts = {(item.source.sha256, item.told.model_dump_json()): item for item in reversed(arrived)}
    return [item for item in arrived if item in firsts.values()]


async def _answer(context: RequestContext, response: Response, taken: Sequence[Admitted], *, wait: bool) -> Answers:
    if not wait:
        return admitted(context, taken)
    job_ids = [item.job_id for item in taken]
    try:
        ended = await context.services.jobs.wait(context.tenant, job_ids, context.deadline.remaining())
    except RagError:  # they are taken, whatever keeps us from hearing how they end
        ended = None
    if ended is None:
        return admitted(context, taken)
    response.status_code = status.HTTP_200_OK
    return _ingested(context, [IngestedDocument.of_job(ended[item.job_id]) for item in taken])


def admitted(context: RequestContext, taken: Sequence[Admitted]) -> AdmittedResponse:
    """Answer with where to ask what becomes of documents."""
    return AdmittedResponse(documents=[AdmittedDocument.of(item) for item in taken], request_id=context.request_id)


def _ingested(context: RequestContext, documents: list[IngestedDocument]) -> IngestResponse:
    return IngestResponse(documents=documents, request_id=context.request_id)


def _key(context: RequestContext, key: str | None, body: Any) -> RequestKey | None:
    if key is None:
        return None
    caller = f"{context.principal.user_id}\n{key}"
    said = orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
    return RequestKey(hashlib.sha256(caller.encode()).hexdigest(), hashlib.sha256(said).hexdigest())


def _file(item: Upload) -> DocumentInput:
    told, source = item.told, item.source
    return DocumentInput(
        told.id or source.sha256[:32],
        told.title or "",
        "",
        told.metadata,
        told.domain,
        told.access.rights() if told.access else None,
        source,
        priority=told.priority,
    )


def _text(item: DocumentIn) -> DocumentInput:
    title = item.title or first_heading(item.text) or item.text.strip()[:_UNTITLED_CHARS].splitlines()[0]
    document_id = item.id or content_hash(item.title or "", item.text)[:32]
    return DocumentInput(
        document_id,
        title,
        item.text,
        item.metadata,
        item.domain,
        item.access.rights() if item.access else None,
        priority=item.priority,
    )


def _check(items: Sequence[DocumentIn | UploadIn], documents: Sequence[DocumentInput], domains: frozenset[str]) -> None:
    counts = Counter(document.id for document in documents)
    errors = [
        error
        for position, (item, document) in enumerate(zip(items, documents, strict=True))
        for error in _complaints(f"documents.{position}", item, counts[document.id], domains)
    ]
    if errors:
        raise InvalidRequestError("some documents cannot be ingested; none was", fields=errors[:20])


def _complaints(field: str, item: DocumentIn | UploadIn, count: int, domains: frozenset[str]) -> Iterator[FieldError]:
    if count > 1:
        yield FieldError(f"{field}.id", "duplicate_id", "the same document stands more than once in the request")
    yield from complaints(f"{field}.", item.metadata, item.domain, domains)


def complaints(
    prefix: str, metadata: Mapping[str, Any], domain: str | None, domains: frozenset[str]
) -> Iterator[FieldError]:
    """Yield what is wrong with the metadata and the domain of a document."""
    if domain is not None and domain not in domains:
        yield FieldError(f"{prefix}domain", "unknown_domain", "no such domain is configured")
    if len(orjson.dumps(metadata)) > MAX_METADATA_BYTES:
        yield FieldError(f"{prefix}metadata", "too_large", f"metadata has at most {MAX_METADATA_BYTES} bytes as JSON")
    elif count_values(metadata) > MAX_FACET_VALUES:
        yield FieldError(f"{prefix}metadata", "too_many_values", f"metadata has at most {MAX_FACET_VALUES} values")
