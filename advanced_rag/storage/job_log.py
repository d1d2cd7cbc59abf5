"""Jobs as their owners see them: listed, cancelled, tried again; and what was told of them, to be read from a cursor on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, Select, and_, delete, insert, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from advanced_rag.models.documents import Page
from advanced_rag.models.jobs import Job, JobEvent, JobInfo, JobNews, JobState
from advanced_rag.storage.cursors import decode_cursor, encode_cursor
from advanced_rag.storage.database import TenantTransaction, database_clock
from advanced_rag.storage.jobs import job_of
from advanced_rag.storage.tables import document_versions, event_counters, job_events, jobs, now

TOPIC = "jobs"


@dataclass(frozen=True, slots=True)
class Coming:
    """A version that is on its way, and the job that brings it."""

    job_id: str
    user_id: str | None
    version: int
    content_hash: str
    chunks: int


class JobLog:
    """The ingestions of one tenant."""

    def __init__(self, transaction: TenantTransaction) -> None:
        self._connection = transaction.connection
        self._tenant = transaction.tenant
        self._topics = transaction.topics

    def tell(self, news: Sequence[JobNews]) -> None:
        """Add news at the end: to be called last in a transaction, for writers of one tenant wait for each other here."""
        if not news:
            return
        first = self._count(len(news)) - len(news) + 1
        moment = now()
        rows = [self._event_row(number, item) | {"at": moment} for number, item in enumerate(news, first)]
        self._connection.execute(insert(job_events), rows)
        self._topics.add(TOPIC)

    def events(self, after: int, limit: int, *, job_id: str | None = None, user_id: str | None = None) -> list[JobEvent]:
        """Return what was told after a cursor, oldest first: of one job, of one user's, or of all."""
        statement = select(job_events).where(job_events.c.tenant_id == self._tenant, job_events.c.number > after)
        if job_id is not None:
            statement = statement.where(job_events.c.job_id == job_id)
        if user_id is not None:
            statement = statement.where(job_events.c.user_id == user_id)
        return [_event(row) for row in self._connection.execute(statement.order_by(job_events.c.number).limit(limit))]

    def last(self) -> int:
        """Return the cursor of the newest event, 0 when there is none."""
        statement = select(event_counters.c.last).where(event_counters.c.tenant_id == self._tenant)
        return int(self._connection.execute(statement).scalar_one_or_none() or 0)

    def get(self, job_id: str, user_id: str | None) -> JobInfo | None:
        """Return an ingestion: one of a user's, or any."""
        row = self._connection.execute(self._listing(user_id).where(jobs.c.id == job_id)).one_or_none()
        return None if row is None else _info(row)

    def find(self, job_ids: Sequence[str]) -> dict[str, JobInfo]:
        """Return ingestions by id."""
        rows = self._connection.execute(self._listing(None).where(jobs.c.id.in_(job_ids)))
        return {row.id: _info(row) for row in rows}

    def page(self, limit: int, cursor: str | None, user_id: str | None, state: JobState | None) -> Page[JobInfo]:
        """List ingestions, newest first."""
        statement = self._listing(user_id).order_by(jobs.c.created_at.desc(), jobs.c.id.desc()).limit(limit + 1)
        if state is not None:
            statement = statement.where(jobs.c.state == state)
        if cursor is not None:
            statement = statement.where(tuple_(jobs.c.created_at, jobs.c.id) < tuple_(*decode_cursor(cursor)))
        rows = self._connection.execute(statement).all()
        more = rows[limit - 1] if len(rows) > limit else None
        return Page([_info(row) for row in rows[:limit]], encode_cursor(more.created_at, more.id) if more else None)

    def add_ended(self, items: Sequence[tuple[Job, JobState, Mapping[str, Any]]]) -> None:
        """Store ingestions that had ended before they began: nothing to do, or refused."""
        moment = now()
        rows = [
            {
                "id": job.id,
                "tenant_id": self._tenant,
                "kind": "ingest",
                "document_id": job.document_id,
                "from_version": job.start,
                "below_version": job.below,
                "state": state,
                "run_after": 0.0,
                "attempts": 0,
                "user_id": job.user_id,
                "stage": job.stage,
                "done": job.done,
                "total": job.total,
                "created_at": moment,
                "updated_at": moment,
                "error_code": known.get("code"),
                "error_message": known.get("message"),
                "details": dict(known),
            }
            for job, state, known in items
        ]
        if rows:
            self._connection.execute(insert(jobs), rows)

    def cancel(self, job_id: str) -> Job | None:
        """Stop an ingestion that has not ended; None when there is none. A worker that has it loses it."""
        return self._change(job_id, ("queued", "running"), {"state": "cancelled", "owner": None, "lease_until": None})

    def end_all(self, document_id: str, code: str, message: str) -> list[Job]:
        """End the ingestions of a document that have not ended well or badly: there is nothing to be made of them."""
        ended = (
            update(jobs)
            .where(
                jobs.c.tenant_id == self._tenant,
                jobs.c.document_id == document_id,
                jobs.c.kind == "ingest",
                jobs.c.state.in_(["queued", "running", "dead"]),
            )
            .values(state="failed", owner=None, lease_until=None, error_code=code, error_message=message, updated_at=now())
            .returning(*jobs.c)
        )
        return [job_of(row) for row in self._connection.execute(ended)]

    def coming(self, document_ids: Sequence[str]) -> dict[str, Coming]:
        """Return the newest version of each document that is on its way; nothing for those that stay what they are."""
        version = document_versions.c
        found = (
            select(jobs.c.document_id, jobs.c.id, jobs.c.user_id, version.version, version.content_hash, version.chunk_count)
            .join(
                document_versions,
                and_(
                    version.tenant_id == jobs.c.tenant_id,
                    version.document_id == jobs.c.document_id,
                    version.version == jobs.c.from_version,
                ),
            )
            .where(
                jobs.c.tenant_id == self._tenant,
                jobs.c.document_id.in_(document_ids),
                jobs.c.kind == "ingest",
                jobs.c.state.in_(["queued", "running"]),
            )
            .order_by(version.version)
        )
        rows = self._connection.execute(found)
        return {row.document_id: Coming(row.id, row.user_id, row.version, row.content_hash, row.chunk_count) for row in rows}

    def retry(self, job_id: str) -> Job | None:
        """Queue a dead ingestion again, from where it came to; None when it is not dead."""
        fresh = {
            "state": "queued",
            "run_after": database_clock(),
            "attempts": 0,
            "retakes": 0,
            "done": 0,
            "error_code": None,
            "error_message": None,
        }
        return self._change(job_id, ("dead",), fresh)

    def take_dead(self, limit: int) -> list[Job]:
        """Delete dead ingestions, and return what they were."""
        dead = (
            select(jobs.c.id)
            .where(jobs.c.tenant_id == self._tenant, jobs.c.kind == "ingest", jobs.c.state == "dead")
            .limit(limit)
        )
        rows = self._connection.execute(delete(jobs).where(jobs.c.id.in_(dead)).returning(*jobs.c))
        return [job_of(row) for row in rows]

    def note(self, job_id: str, details: Mapping[str, Any]) -> None:
        """Keep what became known of an ingestion."""
        self._connection.execute(
            update(jobs).where(jobs.c.tenant_id == self._tenant, jobs.c.id == job_id).values(details=dict(details))
        )

    def _change(self, job_id: str, states: Sequence[JobState], values: Mapping[str, Any]) -> Job | None:
        mine = and_(jobs.c.tenant_id == self._tenant, jobs.c.id == job_id, jobs.c.kind == "ingest", jobs.c.state.in_(states))
        changed = update(jobs).where(mine).values({**values, "updated_at": now()}).returning(*jobs.c)
        row = self._connection.execute(changed).one_or_none()
        return None if row is None else job_of(row)

    def _listing(self, user_id: str | None) -> Select[Any]:
        statement = select(jobs).where(jobs.c.tenant_id == self._tenant, jobs.c.kind == "ingest")
        return statement if user_id is None else statement.where(jobs.c.user_id == user_id)

    def _count(self, more: int) -> int:
        dialect = postgresql if self._connection.dialect.name == "postgresql" else sqlite
        fresh = dialect.insert(event_counters).values(tenant_id=self._tenant, last=more)
        counted = fresh.on_conflict_do_update(
            index_elements=[event_counters.c.tenant_id], set_={"last": event_counters.c.last + more}
        )
        return int(self._connection.execute(counted.returning(event_counters.c.last)).scalar_one())

    def _event_row(self, number: int, news: JobNews) -> dict[str, Any]:
        return {
            "tenant_id": self._tenant,
            "number": number,
            "job_id": news.job_id,
            "document_id": news.document_id,
            "user_id": news.user_id,
            "state": news.state,
            "stage": news.stage,
            "progress": news.progress,
            "data": dict(news.data),
        }


def _info(row: Row[Any]) -> JobInfo:
    return JobInfo(
        id=row.id,
        document_id=row.document_id,
        version=row.from_version,
        state=row.state,
        stage=row.stage,
        done=row.done,
        total=row.total,
        attempts=row.attempts,
        retakes=row.retakes,
        error_code=row.error_code,
        error_message=row.error_message,
        details=row.details or {},
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _event(row: Row[Any]) -> JobEvent:
    news = JobNews(row.job_id, row.document_id, row.user_id, row.state, row.stage, row.progress, row.data)
    return JobEvent(row.number, row.at, news)
