"""All rows of all tables: read in one moment while others write, and put into an empty database, all of them or none.

Which tables there are, and in which order they come, is known from ``tables.py``; which columns, from the database.
"""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Connection,
    Date,
    DateTime,
    Double,
    Float,
    Integer,
    LargeBinary,
    String,
    Text,
    cast,
    column,
    delete,
    exc,
    insert,
    inspect,
    select,
    table,
    text,
    update,
)
from sqlalchemy.types import TypeEngine

from advanced_rag.config import DatabaseSettings
from advanced_rag.exceptions import BackupError
from advanced_rag.models.documents import TenantId
from advanced_rag.models.identity import Tenant
from advanced_rag.models.index import Generation
from advanced_rag.storage.database import TenantTransaction, Transaction, open_engine, snapshot, transaction, translate
from advanced_rag.storage.generations import GenerationRepository
from advanced_rag.storage.inventory import visible_in
from advanced_rag.storage.jobs import JobRepository
from advanced_rag.storage.migrations import is_known, revision_of, take_turn, upgrade
from advanced_rag.storage.rows import Kind, Shape, decode, encode
from advanced_rag.storage.tables import (
    UtcDateTime,
    chunks,
    index_generations,
    jobs,
    metadata,
    reindex_runs,
)
from advanced_rag.storage.tenants import TenantRepository

# Logins end with a restore: a token that was used or withdrawn since the backup must not be good again.
_LEFT_OUT = {"refresh_tokens", "tickets"}
_THERE_FROM_THE_START = {"tenants", "index_generations"}
_PAGE_ROWS = 32  # a text may have megabytes
_BATCH_ROWS, _BATCH_BYTES = 500, 4_194_304
_YEAR_2020 = 1_577_836_800

_KINDS: tuple[tuple[type[TypeEngine[Any]], Kind], ...] = (
    (Boolean, "bool"),
    (Integer, "int"),
    (Float, "float"),
    (DateTime, "time"),
    (Date, "date"),
    (JSON, "json"),
    (LargeBinary, "bytes"),
    (String, "text"),
)
_TYPES: dict[Kind, TypeEngine[Any]] = {
    "bool": Boolean(),
    "int": BigInteger(),
    "float": Double(),
    "time": UtcDateTime(),
    "date": Date(),
    "json": Text(),  # as text in both directions: what PostgreSQL and SQLite take for JSON
    "bytes": LargeBinary(),
    "text": Text(),
}


class _EveryTenant:
    """What is asked of all tenants at once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def generations(self) -> list[Generation]:
        """Return the live generations of the index."""
        return list(GenerationRepository(Transaction(self._connection)).live().values())

    def visible_chunks(self, generation: Generation) -> Iterator[tuple[TenantId, str]]:
        """Yield tenant and id of every chunk that may be found in a collection, tenant by tenant."""
        statement = visible_in(generation, chunks.c.tenant_id, chunks.c.chunk_id).order_by(chunks.c.tenant_id)
        for row in self._connection.execute(statement, execution_options={"yield_per": _BATCH_ROWS}):
            yield TenantId(row[0]), row[1]


class Snapshot(_EveryTenant):
    """Every tenant's rows as they were at one moment."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        revision = revision_of(connection)
        if revision is None:
            raise BackupError("database.url: there is nothing in it to back up")
        if not is_known(revision):
            raise BackupError(f"the database schema ({revision}) is newer than this version: upgrade advanced-rag")
        self.revision = revision
        self.shapes = shapes(connection)

    def waiting(self) -> list[tuple[TenantId, str]]:
        """Return tenant and id of the jobs that are to read a file."""
        known = {shape.name: dict(shape.columns) for shape in self.shapes}
        if "stage" not in known.get("jobs", ()):
            return []
        is_waiting = (jobs.c.kind == "ingest", jobs.c.stage == "received", jobs.c.state.in_(["queued", "running"]))
        return [
            (TenantId(row[0]), row[1])
            for row in self._connection.execute(select(jobs.c.tenant_id, jobs.c.id).where(*is_waiting))
        ]

    def lines(self, shape: Shape) -> Iterator[bytes]:
        """Yield the rows of a table."""
        columns = [
            cast(column(name), Text).label(name) if kind == "json" else column(name, _TYPES[kind])
            for name, kind in shape.columns
        ]
        rows = self._connection.execute(
            select(*columns).select_from(table(shape.name)), execution_options={"yield_per": _PAGE_ROWS}
        )
        for row in rows:
            yield encode(shape, row)


class Restoration(_EveryTenant):
    """An empty database that is being filled, in one transaction."""

    def prepare(self, revision: str, origin: list[Shape]) -> None:
        """Make the tables as they were where the rows come from; raises BackupError unless there is room for them."""
        if not is_known(revision):
            raise BackupError(f"the backup's schema ({revision}) is newer than this version: upgrade advanced-rag")
        if any(self._has_rows(shape) for shape in shapes(self._connection) if shape.name not in _THERE_FROM_THE_START):
            raise BackupError("database.url: the database is not empty; restore into a new one")
        if revision_of(self._connection) not in {None, revision}:
            raise BackupError(f"database.url: the backup has the schema {revision}; restore into a database without tables")
        upgrade(self._connection, revision)
        found = shapes(self._connection)
        if {shape.name: dict(shape.columns) for shape in found} != {shape.name: dict(shape.columns) for shape in origin}:
            raise BackupError("the backup holds other tables than its schema has")
        for shape in reversed(found):
            self._connection.execute(delete(table(shape.name)))  # what migrations themselves put in

    def load(self, shape: Shape, lines: Iterable[bytes]) -> int:
        """Put rows into a table; returns how many."""
        statement = insert(table(shape.name, *(column(name, _TYPES[kind]) for name, kind in shape.columns)))
        count = 0
        for batch in _batches(lines):
            self._connection.execute(statement, [decode(shape, line) for line in batch])
            count += len(batch)
        return count

    def finish(self) -> list[Generation]:
        """Bring the schema up to this version, hand unfinished work back, and begin the index anew.

        Returns the generations there were. Those that are live from now on have numbers nobody ever used, so that what a
        shared Milvus still holds, or what another restore put there, is never searched.
        """
        upgrade(self._connection)
        JobRepository(Transaction(self._connection), "").start_over()
        self._connection.execute(
            update(jobs).where(jobs.c.state == "running").values(state="queued", owner=None, lease_until=None)
        )
        self._connection.execute(delete(reindex_runs))  # what they built is not there
        before = self.generations()
        self._connection.execute(delete(index_generations).where(index_generations.c.state != "live"))
        highest = max((generation.number for generation in before), default=0)
        number = max(int(time.time()) - _YEAR_2020, highest + 1)
        self._connection.execute(update(index_generations).values(number=number))
        return before

    def tenants(self) -> list[Tenant]:
        """Return every tenant."""
        return TenantRepository(Transaction(self._connection)).all()

    def of(self, tenant: TenantId) -> TenantTransaction:
        """Return the transaction as the repositories of a tenant take it."""
        return TenantTransaction(self._connection, tenant)

    def _has_rows(self, shape: Shape) -> bool:
        return self._connection.execute(select(text("1")).select_from(table(shape.name)).limit(1)).first() is not None


@contextmanager
def snapshotting(url: str, settings: DatabaseSettings) -> Iterator[Snapshot]:
    """Open a snapshot of a database; raises BackupError, DatabaseUnavailableError."""
    engine = open_engine(url, settings)
    try:
        with _translated(), snapshot(engine) as connection:
            yield Snapshot(connection)
    finally:
        engine.dispose()


@contextmanager
def restoring(url: str, settings: DatabaseSettings) -> Iterator[Restoration]:
    """Open a database to be filled: what is done in the block is kept when it ends, or nothing of it when it raises."""
    engine = open_engine(url, settings)
    try:
        with _translated(), transaction(engine) as connection:
            take_turn(connection)
            yield Restoration(connection)
    finally:
        engine.dispose()


def shapes(connection: Connection) -> list[Shape]:
    """Return the tables a database has of ours, those first that others refer to."""
    inspector = inspect(connection)
    present = set(inspector.get_table_names()) - _LEFT_OUT
    return [
        Shape(item.name, tuple((found["name"], _kind(found["type"])) for found in inspector.get_columns(item.name)))
        for item in metadata.sorted_tables
        if item.name in present
    ]


def _kind(type_: TypeEngine[Any]) -> Kind:
    for known, kind in _KINDS:
        if isinstance(type_, known):
            return kind
    raise BackupError(f"a column of the type {type_} cannot be backed up")


def _batches(lines: Iterable[bytes]) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    size = 0
    for line in lines:
        batch.append(line)
        size += len(line)
        if len(batch) >= _BATCH_ROWS or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (exc.IntegrityError, exc.ProgrammingError, exc.DataError) as error:
        raise BackupError("the rows of the backup do not fit the database") from error
    except exc.SQLAlchemyError as error:
        raise translate(error) from error
