"""The audit log."""

from datetime import datetime

from advanced_rag.api.schemas.base import Answer
from advanced_rag.models.audit import Entry


class AuditEntryOut(Answer):
    """Who did what to which ids, from where, with which outcome."""

    number: int
    at: datetime
    actor: str
    credential: str | None
    action: str
    targets: list[str]
    origin: str | None
    outcome: str
    request_id: str | None
    digest: str

    @classmethod
    def of(cls, entry: Entry) -> "AuditEntryOut":
        """Make it from what the service says."""
        deed = entry.deed
        return cls(
            number=entry.number,
            at=deed.at,
            actor=deed.actor,
            credential=deed.credential,
            action=deed.action,
            targets=list(deed.targets),
            origin=deed.origin,
            outcome=deed.outcome,
            request_id=deed.request_id,
            digest=entry.digest,
        )


class AuditPage(Answer):
    """A page of the audit log, newest first."""

    entries: list[AuditEntryOut]
    next_cursor: str | None


class AuditReport(Answer):
    """Whether the chain holds; if not, the number of the first entry that was tampered with."""

    holds: bool
    entries: int
    broken_at: int | None
