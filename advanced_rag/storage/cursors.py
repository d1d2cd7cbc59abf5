"""Page cursors: the sort key of the last row, wrapped so that nobody builds on what is inside."""

import base64
import binascii
from datetime import UTC, datetime

import orjson

from advanced_rag.exceptions import FieldError, InvalidCursorError


def encode_cursor(at: datetime, row_id: str) -> str:
    """Return the cursor that continues after a row."""
    return base64.urlsafe_b64encode(orjson.dumps([at.astimezone(UTC).isoformat(), row_id])).decode().rstrip("=")


def decode_cursor(cursor: str) -> tuple[datetime, str]:
    """Return the sort key in a cursor; raises InvalidCursorError for anything not made by encode_cursor."""
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        at, row_id = orjson.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        moment = datetime.fromisoformat(at)
    except (ValueError, TypeError, binascii.Error):
        raise _invalid() from None
    if not isinstance(row_id, str) or moment.tzinfo is None:
        raise _invalid()
    return moment, row_id


def _invalid() -> InvalidCursorError:
    message = "not a cursor of this listing"
    return InvalidCursorError(message, fields=[FieldError("cursor", "invalid_cursor", message)])
