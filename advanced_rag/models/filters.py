"""Metadata filters: the grammar, the tree it parses to, and what the tree means.

    {"lang": "de", "year": {"$gte": 2020}, "$or": [{"team": {"$in": ["sales", "legal"]}}, {"draft": {"$exists": false}}]}

Meaning, the same on every store (``matches`` is its definition):

- A field is a declared one (``document_id``, ``domain``, ``title``) or a metadata path of at most three keys; ``metadata.``
  in front reaches a key that has the name of a declared field. A null counts as missing.
- Numbers equal numbers (1 equals 1.0), strings equal strings, booleans equal booleans; nothing equals across those.
- A list is equal to each of its members, and has no order: ``$gt`` and its kin are false for it.
- ``$ne`` and ``$nin`` are the exact negations of ``$eq`` and ``$in``: true where the field is missing.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from advanced_rag.exceptions import FieldError, InvalidFilterError

Scalar = str | int | float | bool
RangeOperator = Literal["$gt", "$gte", "$lt", "$lte"]

DECLARED_FIELDS = frozenset({"document_id", "domain", "title"})
METADATA_PREFIX = "metadata."
MAX_CLAUSES = 50
MAX_DEPTH = 5
MAX_IN_VALUES = 100
MAX_STRING_CHARS = 1024
MAX_PATH_KEYS = 3

_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_RANGES = ("$gt", "$gte", "$lt", "$lte")


@dataclass(frozen=True, slots=True)
class In:
    """The field equals one of the values; ``$eq`` is an In of one."""

    field: str
    values: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class Range:
    """The field is a number, or a string, on one side of the bound."""

    field: str
    operator: RangeOperator
    bound: float | str


@dataclass(frozen=True, slots=True)
class Exists:
    """The field is there and not null."""

    field: str


@dataclass(frozen=True, slots=True)
class All:
    """Every part holds."""

    parts: tuple["Filter", ...]


@dataclass(frozen=True, slots=True)
class Either:
    """At least one part holds."""

    parts: tuple["Filter", ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The part does not hold."""

    part: "Filter"


Filter = In | Range | Exists | All | Either | Not


def parse_filter(raw: Mapping[str, Any]) -> Filter | None:
    """Parse a filter from JSON; None for an empty one.

    Raises InvalidFilterError naming the clause, never its value.
    """
    if not raw:
        return None
    return _Parser().mapping(raw, depth=1)


def is_filterable_key(key: str) -> bool:
    """Whether a metadata key can be named in a filter."""
    return _KEY.match(key) is not None


class _Parser:
    def __init__(self) -> None:
        self._clauses = 0

    def mapping(self, raw: Any, *, depth: int) -> Filter:
        if depth > MAX_DEPTH:
            raise _invalid(f"filters nest at most {MAX_DEPTH} deep")
        if not isinstance(raw, Mapping) or not raw:
            raise _invalid("a filter is an object with at least one clause")
        parts = tuple(self._clause(key, value, depth=depth) for key, value in raw.items())
        return parts[0] if len(parts) == 1 else All(parts)

    def _clause(self, key: str, value: Any, *, depth: int) -> Filter:
        self._clauses += 1
        if self._clauses > MAX_CLAUSES:
            raise _invalid(f"a filter has at most {MAX_CLAUSES} clauses")
        match key:
            case "$and":
                return All(self._list(value, depth=depth))
            case "$or":
                return Either(self._list(value, depth=depth))
            case "$not":
                return Not(self.mapping(value, depth=depth + 1))
            case _:
                return self._field(_path(key), value)

    def _list(self, raw: Any, *, depth: int) -> tuple[Filter, ...]:
        if not isinstance(raw, list) or not raw:
            raise _invalid("$and and $or take a list of at least one filter")
        return tuple(self.mapping(item, depth=depth + 1) for item in raw)

    def _field(self, path: str, raw: Any) -> Filter:
        if not isinstance(raw, Mapping):
            return In(path, (_scalar(raw),))
        if not raw:
            raise _invalid("a field needs a value or an operator")
        self._clauses += len(raw) - 1
        parts = tuple(_operation(path, operator, value) for operator, value in raw.items())
        return parts[0] if len(parts) == 1 else All(parts)


def _operation(path: str, operator: str, value: Any) -> Filter:
    match operator:
        case "$eq":
            return In(path, (_scalar(value),))
        case "$ne":
            return Not(In(path, (_scalar(value),)))
        case "$in":
            return In(path, _scalars(value))
        case "$nin":
            return Not(In(path, _scalars(value)))
        case "$exists":
            if not isinstance(value, bool):
                raise _invalid("$exists takes true or false")
            return Exists(path) if value else Not(Exists(path))
        case "$gt" | "$gte" | "$lt" | "$lte":
            return Range(path, operator, _bound(value))
        case _:
            raise _invalid("unknown operator: one of $eq $ne $gt $gte $lt $lte $in $nin $exists $and $or $not")


def _path(key: str) -> str:
    if key in DECLARED_FIELDS:
        return key
    keys = key.removeprefix(METADATA_PREFIX).split(".")
    if len(keys) > MAX_PATH_KEYS or not all(is_filterable_key(part) for part in keys):
        raise _invalid("a field is one to three keys of letters, digits and _, joined by dots")
    return METADATA_PREFIX + ".".join(keys)


def _scalars(raw: Any) -> tuple[Scalar, ...]:
    if not isinstance(raw, list) or not 1 <= len(raw) <= MAX_IN_VALUES:
        raise _invalid(f"$in and $nin take a list of 1 to {MAX_IN_VALUES} values")
    return tuple(_scalar(value) for value in raw)


def _scalar(raw: Any) -> Scalar:
    if isinstance(raw, str):
        if len(raw) > MAX_STRING_CHARS:
            raise _invalid(f"a string in a filter has at most {MAX_STRING_CHARS} characters")
        return raw
    if isinstance(raw, bool | int) or (isinstance(raw, float) and math.isfinite(raw)):
        return raw
    raise _invalid("a value is a string, a finite number or a boolean; for null use $exists")


def _bound(raw: Any) -> float | str:
    value = _scalar(raw)
    if isinstance(value, bool):
        raise _invalid("booleans have no order")
    if isinstance(value, str):
        if _CONTROL.search(value):
            raise _invalid("a string bound has no control characters")
        return value
    try:
        return float(value)
    except OverflowError:
        raise _invalid("a number is out of range") from None


def _invalid(message: str) -> InvalidFilterError:
    return InvalidFilterError(message, fields=[FieldError("filters", "invalid_filter", message)])


def matches(condition: Filter, declared: Mapping[str, str | None], metadata: Mapping[str, Any]) -> bool:
    """Evaluate a filter on one document: the definition of what a filter means."""
    match condition:
        case All(parts):
            return all(matches(part, declared, metadata) for part in parts)
        case Either(parts):
            return any(matches(part, declared, metadata) for part in parts)
        case Not(part):
            return not matches(part, declared, metadata)
        case Exists(field):
            return resolve(field, declared, metadata) is not None
        case In(field, values):
            members = list(_members(resolve(field, declared, metadata)))
            return any(equal(member, value) for member in members for value in values)
        case Range(field, operator, bound):
            return _in_range(resolve(field, declared, metadata), operator, bound)


def resolve(field: str, declared: Mapping[str, str | None], metadata: Mapping[str, Any]) -> Any:
    """Return what stands at a path, None where nothing does."""
    if field in DECLARED_FIELDS:
        return declared.get(field)
    value: Any = metadata
    for key in field.removeprefix(METADATA_PREFIX).split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value


def _members(value: Any) -> Iterator[Scalar]:
    for member in value if isinstance(value, Sequence) and not isinstance(value, str) else (value,):
        if isinstance(member, str | bool | int | float):
            yield member


def equal(left: Scalar, right: Scalar) -> bool:
    """Whether two scalars are equal as filters understand it."""
    if isinstance(left, bool) != isinstance(right, bool) or isinstance(left, str) != isinstance(right, str):
        return False
    return left == right


def _in_range(value: Any, operator: RangeOperator, bound: float | str) -> bool:
    if (
        isinstance(value, bool)
        or not isinstance(value, str | int | float)
        or isinstance(value, str) != isinstance(bound, str)
    ):
        return False
    left: Any = value if isinstance(value, str) else float(value)
    match operator:
        case "$gt":
            return bool(left > bound)
        case "$gte":
            return bool(left >= bound)
        case "$lt":
            return bool(left < bound)
        case "$lte":
            return bool(left <= bound)
