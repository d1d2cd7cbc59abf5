"""Files that come in: read as they come, within limits, straight into the file store."""

import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import Any

from fastapi import Request, UploadFile
from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter, ValidationError
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.routing import Match
from starlette.types import Scope

from advanced_rag.api.body import StrictJsonRoute, bounded_stream, parse_json
from advanced_rag.api.schemas.documents import UploadIn
from advanced_rag.config import UploadSettings
from advanced_rag.container import Container
from advanced_rag.exceptions import (
    BodyTooLargeError,
    FileStoreError,
    InvalidRequestError,
    MalformedFormError,
    RagError,
    UnavailableError,
)
from advanced_rag.models.documents import Source, TenantId
from advanced_rag.storage.files import FileStore

_PART_BYTES = 262_144
_MAX_NAME_CHARS = 255
_MAX_OPTIONS_BYTES = 1_048_576
_OPTIONS = TypeAdapter(list[UploadIn])


class MultipartRoute(StrictJsonRoute):
    """A route for bodies with files; other bodies are for the route of the same path that comes after it."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match by the type of the body as well."""
        headers = dict(scope.get("headers", ()))
        if not headers.get(b"content-type", b"").lower().startswith(b"multipart/form-data"):
            return Match.NONE, {}
        return super().matches(scope)


@dataclass(frozen=True, slots=True)
class Upload:
    """A file in the store, and what its sender says of the document it is."""

    source: Source
    told: UploadIn


@asynccontextmanager
async def received(request: Request, files: FileStore, tenant: TenantId) -> AsyncIterator[list[Upload]]:
    """Take the files of a request into the store; a block that is refused takes them out again.

    Raises BodyTooLargeError, BodyTooSlowError, MalformedFormError, InvalidRequestError, FileStoreError.
    """
    uploads = await _received(request, files, tenant)
    with _unless_refused(uploads, files, tenant):
        yield uploads


@asynccontextmanager
async def fetched(url: str, told: UploadIn, services: Container, tenant: TenantId) -> AsyncIterator[list[Upload]]:
    """Take the file behind an address into the store; a block that is refused takes it out again.

    Raises what fetching raises, and FileStoreError.
    """
    job_id = str(uuid.uuid4())
    stored, file = await services.files.keep(tenant, job_id, partial(services.fetcher.fetch, url))
    uploads = [Upload(Source(job_id, harmless(file.name), stored.bytes, stored.sha256), told)]
    with _unless_refused(uploads, services.files, tenant):
        yield uploads


@contextmanager
def _unless_refused(uploads: list[Upload], files: FileStore, tenant: TenantId) -> Iterator[None]:
    """Take files out of the store when they are refused.

    What was cut off may have been taken all the same: the files stay, and housekeeping finds out whether a job needs them.
    """
    try:
        yield
    except RagError as error:
        if not isinstance(error, UnavailableError) or error.is_undone:
            for upload in uploads:
                files.remove(tenant, upload.source.job_id)
        raise


async def _received(request: Request, files: FileStore, tenant: TenantId) -> list[Upload]:
    settings: UploadSettings = request.app.state.settings.uploads
    saved: list[Source] = []
    try:
        async with _form(request, settings) as form:
            options = _options(form.get("documents"))
            for upload in _files(form, settings):
                source = await _save(upload, files, tenant)
                saved.append(source)
        return _uploads(saved, options)
    except BaseException:
        for source in saved:
            files.remove(tenant, source.job_id)
        raise


@asynccontextmanager
async def _form(request: Request, settings: UploadSettings) -> AsyncIterator[Any]:
    stream = bounded_stream(request, settings.max_body_bytes)
    parser = MultiPartParser(
        request.headers, stream, max_files=settings.max_files, max_fields=10, max_part_size=_MAX_OPTIONS_BYTES
    )
    try:
        form = await parser.parse()
    except MultiPartException as error:
        if error.message.startswith("Too many files"):
            raise BodyTooLargeError(f"more than {settings.max_files} files in one request") from None
        raise MalformedFormError("the body is not valid multipart/form-data") from None
    except OSError as error:  # large parts wait in a temporary file
        raise FileStoreError("the file cannot be stored") from error
    try:
        yield form
    finally:
        await form.close()


def _files(form: Any, settings: UploadSettings) -> list[UploadFile]:
    unknown = sorted(set(form) - {"files", "documents"})
    if unknown:
        raise InvalidRequestError.at(unknown[0][:100], "no such field", "unknown_field")
    files = [item for item in form.getlist("files") if not isinstance(item, str)]
    if not files or len(files) != len(form.getlist("files")):
        raise InvalidRequestError.at("files", "send one file or more in the field files", "missing")
    for number, file in enumerate(files):
        if (file.size or 0) > settings.max_file_bytes:
            raise BodyTooLargeError(f"files.{number} is larger than {settings.max_file_bytes} bytes")
    return files


async def _save(upload: UploadFile, files: FileStore, tenant: TenantId) -> Source:
    async def parts() -> AsyncIterator[bytes]:
        while part := await upload.read(_PART_BYTES):
            yield part

    job_id = str(uuid.uuid4())
    stored = await files.save(tenant, job_id, parts())
    return Source(job_id, harmless(upload.filename or ""), stored.bytes, stored.sha256)


def _options(field: Any) -> list[UploadIn] | None:
    if field is None:
        return None
    if not isinstance(field, str):
        raise InvalidRequestError.at("documents", "send JSON, not a file", "invalid_type")
    try:
        return _OPTIONS.validate_python(parse_json(field.encode("utf-8", "surrogatepass")))
    except ValidationError as error:
        located = [{**item, "loc": ("body", "documents", *item["loc"])} for item in error.errors()]
        raise RequestValidationError(located) from None


def _uploads(saved: list[Source], options: list[UploadIn] | None) -> list[Upload]:
    if options is not None and len(options) != len(saved):
        raise InvalidRequestError.at("documents", "one item for each file, in their order", "wrong_length")
    return [Upload(source, told) for source, told in zip(saved, options or [UploadIn()] * len(saved), strict=True)]


def harmless(name: str) -> str:
    """Return what a file is called, without folders and without characters that do not show: never used as a path."""
    last = PurePosixPath(name.replace("\\", "/")).name
    shown = "".join(character for character in last if character.isprintable()).strip()
    return shown[-_MAX_NAME_CHARS:] or "file"
