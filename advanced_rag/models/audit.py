"""What is written down of who did what: ids and outcomes, never contents."""

import hashlib
import hmac
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import pairwise

BEGINNING = "0" * 64


@dataclass(frozen=True, slots=True)
class Deed:
    """What somebody did: the route's name, the ids it was done to, where from, and ``ok`` or an error's code."""

    at: datetime
    actor: str
    credential: str | None
    action: str
    targets: tuple[str, ...]
    origin: str | None
    outcome: str
    request_id: str | None


@dataclass(frozen=True, slots=True)
class Entry:
    """A deed in its place of a tenant's chain: each digest is made of the deed and the digest before it."""

    number: int
    deed: Deed
    previous: str
    digest: str


def chain(secret: bytes, last: tuple[int, str], deeds: Iterable[Deed]) -> list[Entry]:
    """Return the entries that follow the last one, given by its number and digest."""
    number, digest = last
    entries = []
    for deed in deeds:
        previous, number = digest, number + 1
        digest = _digest(secret, number, previous, deed)
        entries.append(Entry(number, deed, previous, digest))
    return entries


def first_break(secret: bytes, entries: Iterable[Entry]) -> int | None:
    """Return the number of the first entry that was changed, removed or put in; None when the chain holds."""
    listed = list(entries)
    for before, after in pairwise(listed):
        if after.number != before.number + 1 or after.previous != before.digest:
            return after.number
    for entry in listed:
        if not hmac.compare_digest(entry.digest, _digest(secret, entry.number, entry.previous, entry.deed)):
            return entry.number
    return None


def _digest(secret: bytes, number: int, previous: str, deed: Deed) -> str:
    fields = {**asdict(deed), "at": deed.at.astimezone(UTC).isoformat(), "number": number, "previous": previous}
    return hmac.digest(secret, json.dumps(fields, sort_keys=True).encode(), hashlib.sha256).hex()
