"""The one place where errors become responses: {error: {code, message, details?, field_errors?, request_id, timestamp}}."""

from datetime import UTC, datetime
from typing import Any

from asgi_correlation_id import correlation_id
from fastapi import FastAPI, Request, status
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from advanced_rag.exceptions import (
    BodyTooSlowError,
    CredentialsError,
    FieldError,
    InvalidRequestError,
    LockedOutError,
    OverloadedError,
    QuotaExceededError,
    RagError,
    RateLimitedError,
    UnavailableError,
)
from advanced_rag.telemetry import metrics
from advanced_rag.telemetry.logs import get_logger

_log = get_logger(__name__)
_HTTP_CODES = {404: "not_found", 405: "method_not_allowed", 413: "body_too_large", 400: "bad_request"}


def install_error_handlers(app: FastAPI) -> None:
    """Answer every error in the one shape."""
    app.add_exception_handler(RagError, _rag_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _unexpected)


def problem(code: str, message: str, *, fields: tuple[FieldError, ...] = (), details: Any = None) -> dict[str, Any]:
    """Return the body of an error."""
    error: dict[str, Any] = {"code": code, "message": message}
    if details:
        error["details"] = details
    if fields:
        error["field_errors"] = [{"field": f.field, "code": f.code, "message": f.message} for f in fields]
    error["request_id"] = correlation_id.get()
    error["timestamp"] = datetime.now(UTC).isoformat()
    return {"error": error}


def respond_to(error: RagError, endpoint: str) -> JSONResponse:
    """Return the answer to one of our own errors, and count it."""
    fields = error.fields if isinstance(error, InvalidRequestError) else ()
    headers: dict[str, str] = {}
    if isinstance(error, OverloadedError | UnavailableError | RateLimitedError | LockedOutError | QuotaExceededError):
        headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, BodyTooSlowError):
        headers["Connection"] = "close"  # what it still sends is nothing anybody reads
    if isinstance(error, RateLimitedError):
        headers |= error.headers
    if isinstance(error, CredentialsError):
        headers["WWW-Authenticate"] = f'Bearer error="{error.code}"'
    body = problem(error.code, error.message, fields=fields, details=error.details)
    return _respond(endpoint, error.status, body, headers)


async def _rag_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RagError)  # noqa: S101 - what it is registered for
    return respond_to(error, _endpoint(request))


async def _validation_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - what it is registered for
    fields = tuple(
        FieldError(_field(item["loc"]), "unknown_field" if item["type"] == "extra_forbidden" else item["type"], item["msg"])
        for item in error.errors()[:20]
    )
    return _respond(
        _endpoint(request), 422, problem("invalid_request", "the request does not fit the schema", fields=fields)
    )


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - what it is registered for
    code = _HTTP_CODES.get(error.status_code, "http_error")
    message = code.replace("_", " ")
    return _respond(_endpoint(request), error.status_code, problem(code, message), dict(error.headers or {}))


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    _log.error("unexpected_error", error_type=type(error).__name__, exc_info=error)
    return _respond(
        _endpoint(request), status.HTTP_500_INTERNAL_SERVER_ERROR, problem("internal_error", "something went wrong here")
    )


def _field(location: tuple[Any, ...]) -> str:
    place, *parts = location  # the first part says where the field stands: body, query, path
    return ".".join(str(part)[:100] for part in parts) or str(place)


def _endpoint(request: Request) -> str:
    return getattr(request.scope.get("route"), "name", "none")


def _respond(endpoint: str, status_code: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> JSONResponse:
    metrics.ERRORS.labels(endpoint, body["error"]["code"]).inc()
    return JSONResponse(body, status_code=status_code, headers=headers)
