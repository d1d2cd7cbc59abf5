"""The job table: work that must be finished whatever crashes.

A job is claimed with a lease on the database's clock. Who lost the lease loses the right to finish: every step that
counts deletes the job row it owns in the same transaction, and does nothing when the row is no longer its own.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import and_, delete, func, insert, or_, select, update

from advanced_rag.models.documents import TenantId
from advanced_rag.storage.database import Transaction, database_clock
from advanced_rag.storage.tables import jobs, now

JobKind = Literal["index", "purge", "label"]


@dataclass(frozen=True, slots=True)
class Job:
    """Work on the versions [start, below) of one document: index them, purge their vectors; or label what it has now."""

    id: str
    tenant: TenantId
    kind: JobKind
    document_id: str
    start: int
    below: int
    attempts: int = 0


def new_job(tenant: TenantId, kind: JobKind, document_id: str, start: int, below: int) -> Job:
    """Return a job that is not stored yet."""
    return Job(str(uuid.uuid4()), tenant, kind, document_id, start, below)


class JobRepository:
    """The jobs of every tenant, as one worker sees them."""

    def __init__(self, transaction: Transaction, owner: str) -> None:
        self._connection = transaction.connection
        self._owner = owner

    def add(self, items: Sequence[Job], *, lease_s: float | None = None) -> None:
        """Store jobs: to be claimed, or with ``lease_s`` already running here."""
        if not items:
            return
        clock = float(self._connection.execute(select(database_clock())).scalar_one())
        self._connection.execute(insert(jobs), [self._row(job, clock, lease_s) for job in items])

    def claim(self, limit: int, lease_s: float) -> list[Job]:
        """Take over jobs that are due, or whose worker let its lease run out."""
        due = or_(
            and_(jobs.c.state == "queued", jobs.c.run_after <= database_clock()),
            and_(jobs.c.state == "running", jobs.c.lease_until < database_clock()),
        )
        chosen = select(jobs.c.id).where(due).order_by(jobs.c.run_after).limit(limit).with_for_update(skip_locked=True)
        rows = self._connection.execute(
            update(jobs)
            .where(jobs.c.id.in_(chosen))
            .values(
                state="running",
                owner=self._owner,
                lease_until=database_clock() + lease_s,
                attempts=jobs.c.attempts + 1,
            )
            .returning(*jobs.c)
        )
        return [_job(row) for row in rows]

    def renew(self, lease_s: float) -> None:
        """Keep every job that runs here."""
        self._connection.execute(
            update(jobs)
            .where(jobs.c.owner == self._owner, jobs.c.state == "running")
            .values(lease_until=database_clock() + lease_s)
        )

    def finish(self, job_ids: Sequence[str]) -> set[str]:
        """Remove jobs that still belong to this worker; returns which did."""
        owned = and_(jobs.c.id.in_(job_ids), jobs.c.owner == self._owner, jobs.c.state == "running")
        return set(self._connection.execute(delete(jobs).where(owned).returning(jobs.c.id)).scalars())

    def postpone(self, job: Job, *, delay_s: float, error_code: str, give_up: bool) -> None:
        """Hand a failed job back for later, or mark it dead."""
        self._connection.execute(
            update(jobs)
            .where(jobs.c.id == job.id, jobs.c.owner == self._owner)
            .values(
                state="dead" if give_up else "queued",
                owner=None,
                lease_until=None,
                run_after=database_clock() + delay_s,
                error_code=error_code,
            )
        )

    def release_all(self) -> None:
        """Give every lease back: for the one process that has the data directory to itself."""
        self._connection.execute(
            update(jobs).where(jobs.c.state == "running").values(state="queued", owner=None, lease_until=None)
        )

    def counts(self, tenant: TenantId | None = None) -> dict[str, int]:
        """Return how many jobs are in each state: a tenant's, or everybody's."""
        statement = select(jobs.c.state, func.count()).group_by(jobs.c.state)
        rows = self._connection.execute(statement if tenant is None else statement.where(jobs.c.tenant_id == tenant))
        return {row[0]: row[1] for row in rows}

    def _row(self, job: Job, clock: float, lease_s: float | None) -> dict[str, Any]:
        running = lease_s is not None
        return {
            "id": job.id,
            "tenant_id": job.tenant,
            "kind": job.kind,
            "document_id": job.document_id,
            "from_version": job.start,
            "below_version": job.below,
            "state": "running" if running else "queued",
            "owner": self._owner if running else None,
            "lease_until": clock + lease_s if lease_s is not None else None,
            "run_after": clock,
            "attempts": 0,
            "created_at": now(),
        }


def _job(row: Any) -> Job:
    return Job(row.id, row.tenant_id, row.kind, row.document_id, row.from_version, row.below_version, row.attempts)
