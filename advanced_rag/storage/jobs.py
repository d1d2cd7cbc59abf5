"""The job table as workers see it: work that must be finished whatever crashes.

A job is claimed with a lease on the database's clock. Who lost the lease loses the right to go on: every step that counts
changes the job row it owns in the same transaction, and does nothing when the row is no longer its own.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Row, and_, bindparam, case, delete, func, insert, or_, select, update

from advanced_rag.exceptions import RagError
from advanced_rag.models.documents import Priority, TenantId
from advanced_rag.models.jobs import Job, JobKind, JobState
from advanced_rag.storage.database import Transaction, database_clock
from advanced_rag.storage.tables import jobs, now

_UPKEEP: tuple[JobKind, ...] = ("purge", "label")
_UPKEEP_FIRST = -2
_PRIORITIES: Mapping[Priority, int] = {"high": -1, "normal": 0, "low": 1}
_ONE_LESS = case((jobs.c.attempts > 0, jobs.c.attempts - 1), else_=0)


class JobRepository:
    """The jobs of every tenant, as one worker sees them."""

    def __init__(self, transaction: Transaction, owner: str) -> None:
        self._connection = transaction.connection
        self._owner = owner

    def add(self, items: Sequence[Job], *, lease_s: float | None = None, delay_s: float = 0.0) -> None:
        """Store jobs: to be claimed, or with ``lease_s`` already running here."""
        if not items:
            return
        clock = float(self._connection.execute(select(database_clock())).scalar_one())
        moment = now()
        rows = [
            _row(job, self._owner, clock + delay_s, lease_s) | {"created_at": moment, "updated_at": moment} for job in items
        ]
        self._connection.execute(insert(jobs), rows)

    def claim(
        self,
        limit: int,
        lease_s: float,
        *,
        kinds: Sequence[JobKind] = ("ingest", *_UPKEEP),
        last: TenantId | None = None,
    ) -> list[Job]:
        """Take over jobs that are due, or whose worker let its lease run out: of one tenant, of one kind, at one stage.

        The tenant that has the least work running goes first; among equals, those after the one who was ``last``. What is
        more urgent goes first within its tenant alone.
        """
        head = self._head(kinds, last)
        if head is None:
            return []
        like = (jobs.c.tenant_id == head.tenant_id, jobs.c.kind == head.kind, jobs.c.stage.is_not_distinct_from(head.stage))
        chosen = (
            select(jobs.c.id)
            .where(_is_due(), *like)
            .order_by(jobs.c.priority, jobs.c.run_after)
            .limit(1 if head.stage == "received" else limit)
            .with_for_update(skip_locked=True)
            .cte("chosen")  # evaluated once: as a subquery PostgreSQL may run it again, beyond its limit
        )
        was_lost = jobs.c.state == "running"
        rows = self._connection.execute(
            update(jobs)
            .where(jobs.c.id.in_(select(chosen.c.id)))
            .values(
                state="running",
                owner=self._owner,
                lease_until=database_clock() + lease_s,
                attempts=jobs.c.attempts + case((was_lost, 0), else_=1),
                retakes=jobs.c.retakes + case((was_lost, 1), else_=0),
                updated_at=now(),
            )
            .returning(*jobs.c)
        )
        return [job_of(row) for row in rows]

    def _head(self, kinds: Sequence[JobKind], last: TenantId | None) -> Any:
        running = (
            select(jobs.c.tenant_id, func.count().label("count"))
            .where(jobs.c.state == "running", jobs.c.lease_until >= database_clock())
            .group_by(jobs.c.tenant_id)
            .subquery()
        )
        is_upkeep = case((jobs.c.kind.in_(_UPKEEP), 0), else_=1)
        turn = () if last is None else (case((jobs.c.tenant_id > last, 0), else_=1), jobs.c.tenant_id)
        return self._connection.execute(
            select(jobs.c.tenant_id, jobs.c.kind, jobs.c.stage)
            .select_from(jobs.outerjoin(running, running.c.tenant_id == jobs.c.tenant_id))
            .where(_is_due(), jobs.c.kind.in_(kinds))
            .order_by(func.coalesce(running.c.count, 0), is_upkeep, *turn, jobs.c.priority, jobs.c.run_after)
            .limit(1)
        ).one_or_none()

    def renew(self, job_ids: Sequence[str], lease_s: float) -> set[str]:
        """Keep jobs that still belong to this worker; returns which do."""
        renewed = update(jobs).where(self._mine(job_ids)).values(lease_until=database_clock() + lease_s).returning(jobs.c.id)
        return set(self._connection.execute(renewed).scalars())

    def hold(self, job_ids: Sequence[str]) -> set[str]:
        """Hold the rows of jobs that still belong to this worker until the transaction ends; returns which do."""
        held = select(jobs.c.id).where(self._mine(job_ids)).order_by(jobs.c.id).with_for_update()
        return set(self._connection.execute(held).scalars())

    def finish(self, job_ids: Sequence[str]) -> set[str]:
        """Remove jobs that still belong to this worker; returns which did."""
        return set(self._connection.execute(delete(jobs).where(self._mine(job_ids)).returning(jobs.c.id)).scalars())

    def ready(self, details: Mapping[str, Mapping[str, Any]]) -> None:
        """End ingestions of this worker well; they stay, with details, to be looked at."""
        if not details:
            return
        mine = update(jobs).where(self._mine(list(details)))
        self._connection.execute(mine.values(**_ended("ready"), stage="ready", done=jobs.c.total, error_code=None))
        self._connection.execute(
            update(jobs).where(jobs.c.id == bindparam("key")).values(details=bindparam("known")),
            [{"key": job_id, "known": dict(known)} for job_id, known in details.items()],
        )

    def advance(self, job: Job) -> bool:
        """Note how far an ingestion has come; False when it is no longer this worker's."""
        moved = self._connection.execute(
            update(jobs)
            .where(self._mine([job.id]))
            .values(stage=job.stage, done=job.done, total=job.total, details=dict(job.details), updated_at=now())
            .returning(jobs.c.id)
        )
        return moved.scalar_one_or_none() is not None

    def fail(self, job_ids: Sequence[str], code: str, message: str) -> set[str]:
        """End jobs of this worker for good; returns which were."""
        failed = (
            update(jobs)
            .where(self._mine(job_ids))
            .values(**_ended("failed"), error_code=code, error_message=message)
            .returning(jobs.c.id)
        )
        return set(self._connection.execute(failed).scalars())

    def postpone(self, job: Job, why: RagError, *, delay_s: float, give_up: bool, counts: bool = True) -> bool:
        """Hand a job back for later, or mark it dead; one that does not count as a try was not the job's fault."""
        values = {
            "state": "dead" if give_up else "queued",
            "owner": None,
            "lease_until": None,
            "run_after": database_clock() + delay_s,
            "attempts": jobs.c.attempts if counts else _ONE_LESS,
            "error_code": why.code,
            "error_message": why.message,
            "updated_at": now(),
        }
        postponed = update(jobs).where(self._mine([job.id])).values(values).returning(jobs.c.id)
        return self._connection.execute(postponed).scalar_one_or_none() is not None

    def release(self, *, everybody: bool = False) -> None:
        """Give leases back: this worker's, which stops in order; or everybody's, in the process that alone has the data."""
        whose = jobs.c.state == "running"
        lost = 1 if everybody else 0
        self._connection.execute(
            update(jobs)
            .where(whose if everybody else and_(whose, jobs.c.owner == self._owner))
            .values(
                state="queued",
                owner=None,
                lease_until=None,
                attempts=_ONE_LESS,
                retakes=jobs.c.retakes + lost,
            )
        )

    def start_over(self) -> None:
        """Note of every ingestion that nothing of it is indexed: the index is a new one."""
        self._connection.execute(update(jobs).where(jobs.c.state.in_(["queued", "running"])).values(done=0))

    def counts(self, tenant: TenantId | None = None) -> dict[str, int]:
        """Return how many jobs wait, run, or are dead: a tenant's, or everybody's."""
        statement = (
            select(jobs.c.state, func.count()).where(jobs.c.state.in_(["queued", "running", "dead"])).group_by(jobs.c.state)
        )
        rows = self._connection.execute(statement if tenant is None else statement.where(jobs.c.tenant_id == tenant))
        return {row[0]: row[1] for row in rows}

    def expire(self, older_than_s: float, limit: int) -> int:
        """Delete what ended long ago, with what was told of it; returns how many."""
        is_old = jobs.c.updated_at < now() - timedelta(seconds=older_than_s)
        old = select(jobs.c.id).where(jobs.c.state.in_(["ready", "failed", "cancelled"]), is_old).limit(limit)
        return len(self._connection.execute(delete(jobs).where(jobs.c.id.in_(old)).returning(jobs.c.id)).all())

    def unended(self, job_ids: Iterable[str]) -> set[str]:
        """Return those jobs that may still need their file."""
        kept = select(jobs.c.id).where(jobs.c.id.in_(list(job_ids)), jobs.c.state.in_(["queued", "running", "dead"]))
        return set(self._connection.execute(kept).scalars())

    def _mine(self, job_ids: Sequence[str]) -> Any:
        return and_(jobs.c.id.in_(job_ids), jobs.c.owner == self._owner, jobs.c.state == "running")


def _is_due() -> Any:
    return or_(
        and_(jobs.c.state == "queued", jobs.c.run_after <= database_clock()),
        and_(jobs.c.state == "running", jobs.c.lease_until < database_clock()),
    )


def _ended(state: JobState) -> dict[str, Any]:
    return {"state": state, "owner": None, "lease_until": None, "updated_at": now()}


def _row(job: Job, owner: str, run_after: float, lease_s: float | None) -> dict[str, Any]:
    running = lease_s is not None
    return {
        "id": job.id,
        "tenant_id": job.tenant,
        "kind": job.kind,
        "document_id": job.document_id,
        "from_version": job.start,
        "below_version": job.below,
        "state": "running" if running else "queued",
        "priority": _UPKEEP_FIRST if job.kind in _UPKEEP else _PRIORITIES[job.priority],
        "owner": owner if running else None,
        "lease_until": run_after + lease_s if lease_s is not None else None,
        "run_after": run_after,
        "attempts": job.attempts,
        "user_id": job.user_id,
        "stage": job.stage,
        "done": job.done,
        "total": job.total,
        "details": dict(job.details),
    }


def job_of(row: Row[Any]) -> Job:
    """Return the job of a row."""
    return Job(
        id=row.id,
        tenant=row.tenant_id,
        kind=row.kind,
        document_id=row.document_id,
        start=row.from_version,
        below=row.below_version,
        attempts=row.attempts,
        retakes=row.retakes,
        user_id=row.user_id,
        stage=row.stage,
        done=row.done,
        total=row.total,
        details=row.details or {},
    )
