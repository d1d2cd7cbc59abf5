"""Rows of any table as lines of JSON, the same whichever database they come from."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Literal

import orjson

Kind = Literal["text", "int", "float", "bool", "time", "date", "bytes", "json"]


@dataclass(frozen=True, slots=True)
class Shape:
    """A table: its name, and its columns with what they hold."""

    name: str
    columns: tuple[tuple[str, Kind], ...]


def encode(shape: Shape, values: Sequence[Any]) -> bytes:
    """Return a row as one line; JSON is passed as the text it is, so that its null stays apart from SQL's."""
    return orjson.dumps([_encoded(kind, value) for (_, kind), value in zip(shape.columns, values, strict=True)]) + b"\n"


def decode(shape: Shape, line: bytes) -> dict[str, Any]:
    """Return the row of a line, by column."""
    values = orjson.loads(line)
    return {name: _decoded(kind, value) for (name, kind), value in zip(shape.columns, values, strict=True)}


def _encoded(kind: Kind, value: Any) -> Any:
    if value is None:
        return None
    match kind:
        case "float":
            return repr(value)  # JSON knows no infinity
        case "time":
            return value.astimezone(UTC).isoformat()
        case "date":
            return value.isoformat()
        case "bytes":
            return base64.b64encode(value).decode("ascii")
    return value


def _decoded(kind: Kind, value: Any) -> Any:
    if value is None:
        return None
    match kind:
        case "float":
            return float(value)
        case "time":
            return datetime.fromisoformat(value)
        case "date":
            return date.fromisoformat(value)
        case "bytes":
            return base64.b64decode(value, validate=True)
    return value
