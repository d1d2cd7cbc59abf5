"""The connection to SQL: one pool, and transactions that end with the function they run."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, exc, text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import Double

from advanced_rag.config import DatabaseSettings
from advanced_rag.exceptions import (
    ConflictError,
    DatabaseUnavailableError,
    DependencyTimeoutError,
    PoolExhaustedError,
    RagError,
    StartupError,
    TransactionUndoneError,
)
from advanced_rag.models.documents import TenantId
from advanced_rag.telemetry import metrics

T = TypeVar("T")

_AUTOCOMMIT = {"isolation_level": "AUTOCOMMIT"}
_EVERY_TENANT = "*"  # no tenant's id: see TenantId's form


@dataclass(frozen=True, slots=True)
class Transaction:
    """What services see of SQLAlchemy: something to hand to repositories. This one reaches across tenants."""

    connection: Connection


@dataclass(frozen=True, slots=True)
class TenantTransaction(Transaction):
    """A transaction for one tenant: PostgreSQL itself shows and takes no row of another one.

    ``topics`` are what listeners are told of once it is committed.
    """

    tenant: TenantId
    topics: set[str] = field(default_factory=set)


Work = Callable[[Transaction], T]
TenantWork = Callable[[TenantTransaction], T]


class database_clock(FunctionElement[float]):  # noqa: N801 - used like an SQL function
    """The seconds since 1970 on the database's clock."""

    inherit_cache = True
    type = Double()


@compiles(database_clock, "postgresql")
def _postgresql_clock(*_: Any, **__: Any) -> str:
    return "extract(epoch from clock_timestamp())"


@compiles(database_clock, "sqlite")
def _sqlite_clock(*_: Any, **__: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


class Database:
    """Runs functions of a connection; calls block, callers use threads."""

    def __init__(self, url: str, settings: DatabaseSettings) -> None:
        self.engine = open_engine(url, settings)
        event.listen(self.engine, "connect", lambda *_: metrics.DB_CONNECTIONS_OPENED.inc())
        event.listen(self.engine, "checkout", lambda *_: metrics.DB_CHECKOUTS.inc())
        # SQLAlchemy lets the driver's own error through when a connection breaks while its isolation level is set.
        self._driver_error: type[Exception] = self.engine.dialect.loaded_dbapi.Error
        self._listeners: dict[str, Callable[[TenantId], None]] = {}

    def listen(self, topic: str, listener: Callable[[TenantId], None]) -> None:
        """Call a function, in the thread that wrote, after each commit of something that belongs to a topic."""
        self._listeners[topic] = listener

    @property
    def has_one_writer(self) -> bool:
        """Whether writers wait for each other, as those of SQLite do."""
        return self.engine.dialect.name == "sqlite"

    def read(self, tenant: TenantId, work: TenantWork[T]) -> T:
        """Run reading statements for a tenant, each seeing what is committed."""
        with self._reading(tenant) as connection:
            return work(TenantTransaction(connection, tenant))

    def write(self, tenant: TenantId, work: TenantWork[T]) -> T:
        """Run one transaction for a tenant: all of it is kept, or nothing when it raises."""
        with self._translated(), transaction(self.engine, tenant) as connection:
            written = TenantTransaction(connection, tenant)
            result = work(written)
        for topic in written.topics:
            self._listeners[topic](tenant)
        return result

    def read_across(self, work: Work[T]) -> T:
        """Run reading statements that reach across tenants."""
        with self._reading(_EVERY_TENANT) as connection:
            return work(Transaction(connection))

    def write_across(self, work: Work[T]) -> T:
        """Run one transaction that reaches across tenants."""
        with self._translated(), transaction(self.engine) as connection:
            return work(Transaction(connection))

    def close(self) -> None:
        """Close every connection that is not in use."""
        self.engine.dispose()

    @contextmanager
    def _reading(self, tenant: str) -> Iterator[Connection]:
        # SQLite's readers need no transaction and would wait for its writer; PostgreSQL knows the tenant within one alone.
        options = _AUTOCOMMIT if self.has_one_writer else {}
        with self._translated(), transaction(self.engine, tenant, **options) as connection:
            yield connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (exc.ProgrammingError, exc.DataError):
            raise  # a fault of this code, not of the database
        except (exc.SQLAlchemyError, self._driver_error) as error:
            raise translate(error) from error


@contextmanager
def transaction(engine: Engine, tenant: str = _EVERY_TENANT, **options: Any) -> Iterator[Connection]:
    """Open a transaction that sees one tenant's rows, or every tenant's."""
    with engine.connect().execution_options(tenant=tenant, **options) as connection, connection.begin():
        yield connection


def open_engine(url: str, settings: DatabaseSettings) -> Engine:
    """Return the engine for a URL of SQLite or PostgreSQL; nothing is connected yet.

    Raises StartupError for any other URL.
    """
    try:
        parsed = make_url(url)
    except exc.ArgumentError:
        raise StartupError("database.url: not a database URL") from None
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg2")
    if parsed.drivername not in {"sqlite", "sqlite+pysqlite", "postgresql+psycopg2"}:
        raise StartupError("database.url: sqlite:///FILE or postgresql+psycopg2://USER:PASSWORD@HOST/DATABASE")
    is_sqlite = parsed.get_backend_name() == "sqlite"
    engine = create_engine(
        parsed,
        pool_size=settings.pool_size,
        max_overflow=settings.pool_max_overflow,
        pool_timeout=settings.pool_wait_s,
        pool_recycle=settings.pool_recycle_s,
        pool_pre_ping=settings.pool_pre_ping and not is_sqlite,
        connect_args=_sqlite_arguments(settings) if is_sqlite else _postgresql_arguments(settings),
    )
    if is_sqlite:
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    else:
        event.listen(engine, "begin", _begin_postgresql)
    return engine


def _sqlite_arguments(settings: DatabaseSettings) -> dict[str, Any]:
    return {"timeout": settings.timeout_s, "check_same_thread": False}


def _postgresql_arguments(settings: DatabaseSettings) -> dict[str, Any]:
    milliseconds = int(settings.timeout_s * 1000)
    return {
        "connect_timeout": settings.connect_timeout_s,
        "tcp_user_timeout": milliseconds,
        "application_name": "advanced-rag",
        "options": f"-c statement_timeout={milliseconds} -c idle_in_transaction_session_timeout={3 * milliseconds}",
    }


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver's own BEGIN would come too late: see _begin_sqlite
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "cache_size=-4000"):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads first and writes later fails under a second writer; IMMEDIATE waits its turn instead.
    if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _begin_postgresql(connection: Connection) -> None:
    # For the policies of row-level security. It ends with the transaction: no tenant stays on a pooled connection.
    tenant = connection.get_execution_options().get("tenant")
    if tenant is not None:
        connection.exec_driver_sql("SELECT set_config('rag.tenant', %s, true)", (tenant,))


def translate(error: Exception) -> RagError:
    """Return our own error for one of SQLAlchemy's or of the driver's."""
    if isinstance(error, exc.TimeoutError):
        return PoolExhaustedError("no database connection came free in time")
    if isinstance(error, exc.IntegrityError):
        return ConflictError("the change contradicts another one made meanwhile")
    match getattr(getattr(error, "orig", None), "pgcode", None):
        case "57014":  # query_canceled, by statement_timeout
            return DependencyTimeoutError("the database did not answer in time")
        case "40001" | "40P01":  # serialization_failure, deadlock_detected
            return TransactionUndoneError("transactions stood in each other's way")
    return DatabaseUnavailableError("the database does not answer")


def ping(transaction: Transaction) -> None:
    """Prove that the database answers."""
    transaction.connection.execute(text("SELECT 1"))
