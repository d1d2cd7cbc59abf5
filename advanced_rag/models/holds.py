"""Legal holds, and receipts of what was forgotten."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

HoldKind = Literal["document", "user", "tenant"]
ForgetKind = Literal["document", "user"]


@dataclass(frozen=True, slots=True)
class Hold:
    """What must not be deleted until the hold is released: a document, all that is a user's, or all of the tenant."""

    id: str
    kind: HoldKind
    target: str
    reason: str
    created_by: str
    created_at: datetime
    released_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """That something was forgotten: how much of it there was, and what was left when the stores were asked afterwards.

    A count of None could not be taken yet: what may be left there is queued to be purged. ``target`` is a keyed digest: the
    receipt tells whoever knows the id, and nobody else.
    """

    id: str
    kind: ForgetKind
    target: str
    forgotten_by: str
    at: datetime
    removed: Mapping[str, int]
    left: Mapping[str, int | None]
    digest: str
