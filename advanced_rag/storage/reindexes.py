"""Runs of reindexing: at most one is running, and one process at a time works on it.

As with jobs, a run is claimed with a lease on the database's clock, and who lost the lease changes nothing any more.
"""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from sqlalchemy import Row, and_, delete, insert, or_, select, update

from advanced_rag.models.reindex import EvaluationSet, Progress, ReindexOptions, ReindexRun, RunPhase, RunState
from advanced_rag.storage.database import Transaction, database_clock
from advanced_rag.storage.tables import now, reindex_runs

_KEPT = 50
_IS_RUNNING = reindex_runs.c.state == "running"


class ReindexRepository:
    """The runs, shared by all tenants, as one worker sees them."""

    def __init__(self, transaction: Transaction, owner: str = "") -> None:
        self._connection = transaction.connection
        self._owner = owner

    def add(self, run_id: str, options: ReindexOptions) -> None:
        """Store a run that nobody works on yet; raises ConflictError when one is running."""
        moment = now()
        self._connection.execute(
            insert(reindex_runs).values(
                id=run_id,
                state="running",
                phase="preparing",
                options=asdict(options),
                progress=asdict(Progress()),
                result={},
                created_at=moment,
                updated_at=moment,
            )
        )
        recent = select(reindex_runs.c.id).order_by(reindex_runs.c.created_at.desc()).limit(_KEPT)
        self._connection.execute(delete(reindex_runs).where(reindex_runs.c.id.not_in(recent)))

    def get(self, run_id: str) -> ReindexRun:
        """Return a run that is there."""
        return _run(self._connection.execute(select(reindex_runs).where(reindex_runs.c.id == run_id)).one())

    def latest(self) -> ReindexRun | None:
        """Return the newest run."""
        newest = select(reindex_runs).order_by(reindex_runs.c.created_at.desc(), reindex_runs.c.id.desc()).limit(1)
        row = self._connection.execute(newest).one_or_none()
        return None if row is None else _run(row)

    def is_waiting(self) -> bool:
        """Tell whether a run waits for somebody to work on it."""
        return self._connection.execute(select(reindex_runs.c.id).where(_IS_RUNNING, _is_free())).first() is not None

    def claim(self, lease_s: float) -> ReindexRun | None:
        """Take over the run that nobody works on."""
        chosen = select(reindex_runs.c.id).where(_IS_RUNNING, _is_free()).with_for_update(skip_locked=True)
        claimed = (
            update(reindex_runs)
            .where(reindex_runs.c.id.in_(chosen))
            .values(owner=self._owner, lease_until=database_clock() + lease_s)
            .returning(*reindex_runs.c)
        )
        row = self._connection.execute(claimed).one_or_none()
        return None if row is None else _run(row)

    def renew(self, run_id: str, lease_s: float) -> bool:
        """Keep a run; False when it is no longer this worker's."""
        return self._change(run_id, {"lease_until": database_clock() + lease_s})

    def advance(self, run_id: str, phase: RunPhase, progress: Progress, result: Mapping[str, Any]) -> bool:
        """Note how far a run has come, and what came of it so far; False when it is no longer this worker's."""
        values = {"phase": phase, "progress": asdict(progress), "result": dict(result), "updated_at": now()}
        return self._change(run_id, values)

    def end(self, run: ReindexRun, state: RunState, result: Mapping[str, Any], error: tuple[str, str] | None = None) -> bool:
        """End a run; the evaluation set it was given is forgotten. False when it is no longer this worker's."""
        code, message = error or (None, None)
        return self._change(
            run.id, {**_ended(run, state), "result": dict(result), "error_code": code, "error_message": message}
        )

    def cancel(self) -> str | None:
        """Stop the run that is running, whoever works on it; returns its id. The evaluation set is forgotten here too."""
        row = self._connection.execute(select(reindex_runs).where(_IS_RUNNING).with_for_update()).one_or_none()
        if row is None:
            return None
        run = _run(row)
        self._connection.execute(update(reindex_runs).where(reindex_runs.c.id == run.id).values(_ended(run, "cancelled")))
        return run.id

    def release(self, *, everybody: bool = False) -> None:
        """Give the lease back: this worker's; or everybody's, in the process that alone has the data."""
        held = update(reindex_runs).where(
            _IS_RUNNING if everybody else and_(_IS_RUNNING, reindex_runs.c.owner == self._owner)
        )
        self._connection.execute(held.values(owner=None, lease_until=None))

    def _change(self, run_id: str, values: Mapping[str, Any]) -> bool:
        mine = and_(reindex_runs.c.id == run_id, _IS_RUNNING, reindex_runs.c.owner == self._owner)
        return self._connection.execute(update(reindex_runs).where(mine).values(dict(values))).rowcount == 1


def _is_free() -> Any:
    return or_(reindex_runs.c.owner.is_(None), reindex_runs.c.lease_until < database_clock())


def _ended(run: ReindexRun, state: RunState) -> dict[str, Any]:
    return {
        "state": state,
        "phase": "ended",
        "options": asdict(replace(run.options, evaluation=None)),
        "updated_at": now(),
        "owner": None,
        "lease_until": None,
    }


def _run(row: Row[Any]) -> ReindexRun:
    return ReindexRun(
        id=row.id,
        state=row.state,
        phase=row.phase,
        options=_options(row.options),
        progress=Progress(**{**row.progress, "collections": tuple(row.progress["collections"])}),
        result=row.result,
        created_at=row.created_at,
        updated_at=row.updated_at,
        error_code=row.error_code,
        error_message=row.error_message,
    )


def _options(stored: Mapping[str, Any]) -> ReindexOptions:
    kinds, evaluation = stored["kinds"], stored["evaluation"]
    return ReindexOptions(
        **{
            **stored,
            "kinds": None if kinds is None else tuple(kinds),
            "evaluation": None if evaluation is None else EvaluationSet(**evaluation),
        }
    )
