"""Routing: which way a file goes through ingestion; the first rule that fits it and can be followed decides. Pure."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from advanced_rag.models.documents import TenantId
from advanced_rag.models.parsed import DocumentKind

Route = Literal["text", "ocr", "visual"]
_ANY_SUBTYPE = "/*"


@dataclass(frozen=True, slots=True)
class Rule:
    """A way, and the files that go it: all conditions have to hold, and an empty one always does.

    ``percent`` is the share of the documents it takes; which ones they are depends on nothing but their ids.
    """

    name: str
    route: Route
    kinds: Collection[DocumentKind] = ()
    has_scans: bool | None = None
    media_types: Collection[str] = ()
    min_bytes: int | None = None
    max_bytes: int | None = None
    min_pages: int | None = None
    max_pages: int | None = None
    tenants: Collection[str] = ()
    percent: float = 100.0


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a file when its way is chosen; ``has_scans`` says that there is text in pictures."""

    tenant: TenantId
    document_id: str
    kind: DocumentKind
    has_scans: bool
    media_type: str
    bytes: int
    pages: int


@dataclass(frozen=True, slots=True)
class Decision:
    """The way a document goes, and the name of the rule that says so."""

    route: Route
    rule: str


OTHERWISE = Decision("text", "otherwise")  # where no rule decides


def decide(facts: Facts, rules: Sequence[Rule], possible: Collection[Route]) -> Decision:
    """Return what the first rule says that fits and whose route is possible for the file, here."""
    fitting = (rule for rule in rules if rule.route in possible and fits(rule, facts))
    return next((Decision(rule.route, rule.name) for rule in fitting), OTHERWISE)


def fits(rule: Rule, facts: Facts) -> bool:
    """Tell whether every condition of a rule holds."""
    return (
        _is_among(facts.kind, rule.kinds)
        and rule.has_scans in {None, facts.has_scans}
        and _is_of(facts.media_type, rule.media_types)
        and _is_within(facts.bytes, rule.min_bytes, rule.max_bytes)
        and _is_within(facts.pages, rule.min_pages, rule.max_pages)
        and _is_among(facts.tenant, rule.tenants)
        and place(facts.tenant, facts.document_id) < rule.percent
    )


def place(tenant: TenantId, document_id: str) -> float:
    """Return where a document stands among all, 0 to less than 100: always the same, and evenly spread over many."""
    digest = hashlib.blake2b(f"{len(tenant)}:{tenant}{document_id}".encode(), digest_size=6).digest()
    return int.from_bytes(digest) / 2**48 * 100


def _is_among(value: str, allowed: Collection[str]) -> bool:
    return not allowed or value in allowed


def _is_of(media_type: str, allowed: Collection[str]) -> bool:
    family = media_type.partition("/")[0] + _ANY_SUBTYPE
    return _is_among(media_type, allowed) or family in allowed


def _is_within(value: int, low: int | None, high: int | None) -> bool:
    return (low is None or value >= low) and (high is None or value <= high)
