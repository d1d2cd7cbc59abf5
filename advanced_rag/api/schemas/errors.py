"""The shape of every error."""

from datetime import datetime
from typing import Any

from advanced_rag.api.schemas.base import Answer


class ErrorBody(Answer):
    """What went wrong."""

    code: str
    message: str
    details: dict[str, Any] | None = None
    field_errors: list[dict[str, str]] | None = None
    request_id: str | None
    timestamp: datetime


class ErrorResponse(Answer):
    """The shape of every error."""

    error: ErrorBody
