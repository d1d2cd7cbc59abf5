"""Migrations lead to the tables of the code, on both databases, and the schema is checked at start-up."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic.config import Config
from sqlalchemy import Connection, inspect, text

from advanced_rag.config import DatabaseSettings
from advanced_rag.exceptions import DatabaseUnavailableError, StartupError
from advanced_rag.storage.database import open_engine, transaction
from advanced_rag.storage.migrations import check_schema, migrate, migration_config
from alembic import command


def configured(connection: Connection) -> Config:
    config = migration_config()
    config.attributes["connection"] = connection
    return config


def test_migrations_make_exactly_the_tables_of_the_code(engine):
    before, after = migrate(engine)
    assert before is None
    with engine.connect() as connection:
        command.check(configured(connection))
    assert migrate(engine) == (after, after)


def test_an_empty_database_is_made_on_the_spot(engine):
    check_schema(engine)
    assert "documents" in inspect(engine).get_table_names()
    check_schema(engine)


def test_an_older_schema_says_how_to_migrate(engine):
    migrate(engine)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM alembic_version"))
    with pytest.raises(StartupError, match="advanced-rag migrate"):
        check_schema(engine)


def test_a_newer_schema_is_refused(engine):
    migrate(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StartupError, match="newer"):
        check_schema(engine)


def test_replicas_that_migrate_at_once_take_turns(engine):
    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(lambda _: migrate(engine), range(3)))
    assert sum(before is None for before, _ in results) == 1


def test_a_database_that_cannot_be_reached_is_one_clear_line():
    url = "postgresql+psycopg2://user:hidden@127.0.0.1:1/rag"
    engine = open_engine(url, DatabaseSettings(connect_timeout_s=1))
    with pytest.raises(DatabaseUnavailableError) as raised:
        check_schema(engine)
    assert "hidden" not in raised.value.message
    assert "cannot be reached" in raised.value.message


def test_what_the_first_version_stored_survives_every_migration(engine):
    with transaction(engine) as connection:
        command.upgrade(configured(connection), "0001")
        connection.execute(
            text(
                "INSERT INTO documents (tenant_id, id, last_version, version_floor, created_at, updated_at) "
                "VALUES ('default', 'handbook', 0, 0, CURRENT_TIMESTAMP, CURRENT_TIMESTAMP)"
            )
        )
    migrate(engine)
    with transaction(engine) as connection:
        assert connection.execute(text("SELECT id FROM documents")).scalars().all() == ["handbook"]
        command.downgrade(configured(connection), "0001")
        assert connection.execute(text("SELECT id FROM documents")).scalars().all() == ["handbook"]
