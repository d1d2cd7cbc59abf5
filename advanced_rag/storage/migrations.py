"""Bringing the schema up to the code, and checking that it is."""

from pathlib import Path

from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, exc, inspect, text

from advanced_rag.exceptions import DatabaseUnavailableError, StartupError
from advanced_rag.resources import resource
from advanced_rag.storage.database import lift_time_limits, transaction
from alembic import command

_LOCK_KEY = 0x61647672  # any number, as long as every replica takes the same
_HOW = "run `advanced-rag migrate` (MIGRATIONS.md)"


def migration_config() -> Config:
    """Return alembic's configuration with the shipped migrations."""
    config = Config()
    config.set_main_option("script_location", str(resource("alembic")))
    config.set_main_option("path_separator", "os")
    return config


def migrate(engine: Engine) -> tuple[str | None, str]:
    """Upgrade the schema to the newest revision; return the revision before and after.

    Replicas that start together take turns. Raises DatabaseUnavailableError when the database cannot be reached.
    """
    _make_folder(engine)
    try:
        with transaction(engine) as connection:
            take_turn(connection)
            before = revision_of(connection)
            _refuse_newer(before)
            upgrade(connection)
            return before, _head()
    except exc.OperationalError as error:
        raise DatabaseUnavailableError(_unreachable(engine)) from error


def take_turn(connection: Connection) -> None:
    """Wait until nobody else changes the schema of a PostgreSQL database, and take the time it needs."""
    if connection.dialect.name == "postgresql":
        lift_time_limits(connection)
        connection.execute(text("SET LOCAL lock_timeout = '60s'"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Upgrade the schema within the transaction of a connection."""
    config = migration_config()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def check_schema(engine: Engine) -> None:
    """Make sure the schema fits the code; a database without any table is migrated on the spot.

    Raises StartupError when the schema is older (saying how to migrate) or newer than the code, DatabaseUnavailableError.
    """
    _make_folder(engine)
    try:
        with engine.connect() as connection:
            revision = revision_of(connection)
            is_empty = not inspect(connection).get_table_names()
    except exc.OperationalError as error:
        raise DatabaseUnavailableError(_unreachable(engine)) from error
    if is_empty:
        migrate(engine)
        return
    _refuse_newer(revision)
    if revision != _head():
        raise StartupError(f"the database schema is older than this version ({revision or 'none'}): {_HOW}")


def revision_of(connection: Connection) -> str | None:
    """Return the revision of a database's schema; None without one."""
    return MigrationContext.configure(connection).get_current_revision()


def is_known(revision: str) -> bool:
    """Tell whether this version has a revision."""
    try:
        ScriptDirectory.from_config(migration_config()).get_revision(revision)
    except CommandError:
        return False
    return True


def _refuse_newer(revision: str | None) -> None:
    if revision is not None and not is_known(revision):
        raise StartupError(f"the database schema ({revision}) is newer than this version: upgrade advanced-rag")


def _head() -> str:
    head = ScriptDirectory.from_config(migration_config()).get_current_head()
    if head is None:
        raise StartupError("this installation ships no migrations")
    return head


def _unreachable(engine: Engine) -> str:
    return f"database.url: {engine.url.render_as_string(hide_password=True)} cannot be reached"


def _make_folder(engine: Engine) -> None:
    if engine.dialect.name == "sqlite" and engine.url.database:
        Path(engine.url.database).parent.mkdir(parents=True, exist_ok=True)
