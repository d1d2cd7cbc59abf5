"""The second wall: PostgreSQL itself shows a tenant no row of another, even to statements that forget to ask."""

import pytest
from sqlalchemy import Engine, create_engine, exc, text

from advanced_rag.config import DatabaseSettings
from advanced_rag.models.documents import DEFAULT_TENANT, TenantId
from advanced_rag.storage import tables
from advanced_rag.storage.database import Transaction, open_engine, transaction
from advanced_rag.storage.migrations import check_schema
from advanced_rag.storage.row_security import is_bypassed
from tests.conftest import make_database

SEED = """
INSERT INTO tenants (id, name, created_at) VALUES ('theirs', 'Theirs', now());
INSERT INTO documents (tenant_id, id, last_version, version_floor, created_at, updated_at)
VALUES ('default', 'ours', 0, 0, now(), now()), ('theirs', 'theirs', 0, 0, now(), now());
"""
EVERY_DOCUMENT = text("SELECT id FROM documents ORDER BY id")


@pytest.fixture(scope="module")
def engine(postgres: str):
    opened = open_engine(make_database(postgres), DatabaseSettings(pool_size=1, pool_max_overflow=0))
    check_schema(opened)
    with transaction(opened) as connection:
        for statement in SEED.strip().split(";\n"):
            connection.execute(text(statement))
    yield opened
    opened.dispose()


def seen(engine: Engine, tenant: str) -> list[str]:
    with transaction(engine, tenant) as connection:
        return list(connection.execute(EVERY_DOCUMENT).scalars())


def test_a_statement_without_a_where_sees_its_tenant_alone(engine):
    assert seen(engine, DEFAULT_TENANT) == ["ours"]
    assert seen(engine, "theirs") == ["theirs"]
    assert seen(engine, "nobody") == []


def test_a_connection_that_names_no_tenant_sees_nothing(engine):
    with engine.begin() as connection:
        assert connection.execute(EVERY_DOCUMENT).all() == []


def test_a_row_cannot_be_written_for_another_tenant(engine):
    with pytest.raises(exc.ProgrammingError, match="row-level security"), transaction(engine, DEFAULT_TENANT) as connection:
        connection.execute(text("UPDATE documents SET tenant_id = 'theirs' WHERE id = 'ours'"))
    with transaction(engine, TenantId("theirs")) as connection:
        assert connection.execute(text("DELETE FROM documents WHERE id = 'ours'")).rowcount == 0


def test_no_tenant_stays_on_a_pooled_connection(engine):
    for n in range(200):
        tenant = (DEFAULT_TENANT, "theirs")[n % 2]
        with pytest.raises(RuntimeError), transaction(engine, tenant):
            raise RuntimeError
        assert seen(engine, "nobody") == []
        with engine.begin() as connection:
            assert connection.execute(text("SELECT coalesce(current_setting('rag.tenant', true), '')")).scalar_one() == ""


def test_every_table_of_tenants_stands_behind_the_wall(engine):
    with transaction(engine) as connection:
        guarded = set(
            connection.execute(text("SELECT relname FROM pg_class WHERE relrowsecurity AND relforcerowsecurity")).scalars()
        )
    of_tenants = {name for name, table in tables.metadata.tables.items() if "tenant_id" in table.c}
    assert guarded == of_tenants | {"tenants"}


def test_a_superuser_is_told_of(engine, postgres):
    with transaction(engine) as connection:
        assert not is_bypassed(Transaction(connection))
    above = create_engine(f"{postgres}/postgres")
    with above.connect() as connection:
        assert is_bypassed(Transaction(connection))
    above.dispose()
