"""Filters as Milvus understands them.

Milvus Lite has neither ``not`` nor ``exists`` nor templates, and comparing lists and mixed types differs between engines.
So each document carries ``facets``, a flat JSON object made here, and a filter becomes comparisons with it that every
engine evaluates alike. Paths and values of equality appear only as hex digests: nothing a caller writes reaches the
expression but numbers and, in string ranges, a quoted literal.

    x<path>: true          the path exists        v<path, value>: true   one of its values
    n<path>: 12.5          its number             s<path>: "2024-01-31"  its string
    (and N<path>, S<path>: true, to negate a range: a missing path is in no range)

Who may see it stands in a field of its own, ``readers``: digests of users and groups, or a star for everybody of its tenant.
An array is much cheaper to filter by than JSON is.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from advanced_rag.models.filters import (
    DECLARED_FIELDS,
    MAX_PATH_KEYS,
    MAX_STRING_CHARS,
    METADATA_PREFIX,
    All,
    Either,
    Exists,
    Filter,
    In,
    Not,
    Range,
    Scalar,
    is_filterable_key,
)

FACETS_FIELD = "facets"
MAX_FACET_VALUES = 1000

Facets = dict[str, bool | float | str]
READERS_FIELD, LABEL_CHARS, MAX_LABELS = "readers", 20, 256
_EVERYBODY = "*"
_OPERATORS = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
_NEGATED = {"$gt": "<=", "$gte": "<", "$lt": ">=", "$lte": ">"}


def facets(declared: Mapping[str, str | None], metadata: Mapping[str, Any]) -> Facets:
    """Return what a document is filtered by."""
    found: Facets = {}
    for field in DECLARED_FIELDS:
        found.update(_facets_of(field, declared.get(field)))
    for path, value in _paths(metadata, METADATA_PREFIX, MAX_PATH_KEYS):
        found.update(_facets_of(path, value))
    return found


def labels(readers: frozenset[str] | None) -> tuple[str, ...]:
    """Return the digests of those who may find a document; None is everybody of its tenant."""
    return (_EVERYBODY,) if readers is None else tuple(sorted(map(_subject, readers)))


def compile_readers(subjects: frozenset[str]) -> str:
    """Return the Milvus expression for what one of some subjects may find."""
    names = ", ".join(map(quote, [_EVERYBODY, *sorted(map(_subject, subjects))]))
    return f"array_contains_any({READERS_FIELD}, [{names}])"


def _subject(subject: str) -> str:
    return hashlib.blake2b(subject.encode("utf-8", "surrogatepass"), digest_size=10).hexdigest()


def count_values(metadata: Mapping[str, Any]) -> int:
    """Return how many values of some metadata can be filtered by; bounded by MAX_FACET_VALUES at the API."""
    return sum(len(value) if isinstance(value, list) else 1 for _, value in _paths(metadata, "", MAX_PATH_KEYS))


def _paths(metadata: Mapping[str, Any], prefix: str, depth: int) -> Iterator[tuple[str, Any]]:
    for key, value in metadata.items():
        if not is_filterable_key(key):
            continue
        yield prefix + key, value
        if isinstance(value, Mapping) and depth > 1:
            yield from _paths(value, f"{prefix}{key}.", depth - 1)


def _facets_of(path: str, value: Any) -> Iterator[tuple[str, bool | float | str]]:
    if value is None:
        return
    yield _name("x", path), True
    for member in value if isinstance(value, Sequence) and not isinstance(value, str) else (value,):
        if isinstance(member, str | bool | int | float):
            yield _name("v", path, member), True
    if isinstance(value, bool):
        return
    if isinstance(value, str):
        yield _name("S", path), True
        # One character more than a bound can have: what follows cannot change how the two compare.
        yield _name("s", path), value[: MAX_STRING_CHARS + 1]
    elif isinstance(value, int | float):
        yield _name("N", path), True
        yield _name("n", path), float(value)


def _name(kind: Literal["x", "v", "n", "N", "s", "S"], path: str, value: Scalar | None = None) -> str:
    digest = hashlib.blake2b(path.encode(), digest_size=10)
    if value is not None:
        digest.update(b"\0" + _canonical(value).encode("utf-8", "surrogatepass"))
    return kind + digest.hexdigest()


def _canonical(value: Scalar) -> str:
    match value:
        case bool():
            return f"b{value}"
        case str():
            return f"s{value}"
        case float() if value.is_integer():
            return f"n{int(value)}"
        case _:
            return f"n{value!r}"


def compile_filter(condition: Filter) -> str:
    """Return the Milvus expression of a filter."""
    return _compile(condition, negated=False)


def _compile(condition: Filter, *, negated: bool) -> str:
    match condition:
        case Not(part):
            return _compile(part, negated=not negated)
        case All(parts):
            return join("or" if negated else "and", [_compile(part, negated=negated) for part in parts])
        case Either(parts):
            return join("and" if negated else "or", [_compile(part, negated=negated) for part in parts])
        case Exists(field):
            return _flag(_name("x", field), negated=negated)
        case In(field, values):
            flags = [_flag(_name("v", field, value), negated=negated) for value in values]
            return join("and" if negated else "or", flags)
        case Range():
            return _range(condition, negated=negated)


def _range(condition: Range, *, negated: bool) -> str:
    is_text = isinstance(condition.bound, str)
    name = _name("s" if is_text else "n", condition.field)
    literal = quote(condition.bound) if isinstance(condition.bound, str) else repr(condition.bound)
    if not negated:
        return f'{FACETS_FIELD}["{name}"] {_OPERATORS[condition.operator]} {literal}'
    absent = _flag(_name("S" if is_text else "N", condition.field), negated=True)
    return join("or", [absent, f'{FACETS_FIELD}["{name}"] {_NEGATED[condition.operator]} {literal}'])


def _flag(name: str, *, negated: bool) -> str:
    return f'{FACETS_FIELD}["{name}"] {"!=" if negated else "=="} true'


def join(operator: Literal["and", "or"], parts: Sequence[str]) -> str:
    """Return expressions joined to one: by halves, for Milvus Lite refuses what nests some fifty deep, as long chains do."""
    if len(parts) == 1:
        return parts[0]
    half = len(parts) // 2
    return f"({join(operator, parts[:half])} {operator} {join(operator, parts[half:])})"


def quote(value: str) -> str:
    """Return a string as a Milvus literal; the caller keeps control characters out."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
