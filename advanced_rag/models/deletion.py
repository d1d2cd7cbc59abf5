"""What is told of documents that were deleted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class DeletionReceipt:
    """How much was removed, and how much was left when the stores were asked afterwards.

    A count of None could not be taken. Unless all of them are 0, the rest is queued to be purged.
    """

    at: datetime
    removed: Mapping[str, int]
    left: Mapping[str, int | None]

    @property
    def is_done(self) -> bool:
        """Whether nothing is left."""
        return all(count == 0 for count in self.left.values())


@dataclass(frozen=True, slots=True)
class Tombstone:
    """What is left of a deleted document: ``version`` was current then; nobody in ``deleted_by`` means that it expired."""

    document_id: str
    version: int
    deleted_at: datetime
    deleted_by: str | None


@dataclass(frozen=True, slots=True)
class BulkDeletion:
    """What became of the documents that a filter matches; of their ids the first.

    ``pending`` are deleted ones whose vectors are still to be purged. Not ``complete`` means that there is more to look at.
    """

    matched: int
    deleted: int
    held: int
    pending: int
    ids: Sequence[str]
    is_complete: bool
