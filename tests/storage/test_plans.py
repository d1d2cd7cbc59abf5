"""PostgreSQL reads history and hydrates by index, with a hundred thousand rows in the tables."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, Engine, event, text

from advanced_rag.config import DatabaseSettings
from advanced_rag.models.documents import DEFAULT_TENANT
from advanced_rag.models.identity import Reader
from advanced_rag.storage.database import TenantTransaction, open_engine, transaction
from advanced_rag.storage.documents import DocumentRepository
from advanced_rag.storage.hydration import hydrate
from advanced_rag.storage.migrations import check_schema
from advanced_rag.storage.sessions import SessionRepository
from tests.conftest import make_database

SEED = """
INSERT INTO documents (tenant_id, id, current_version, last_version, version_floor, created_at, updated_at)
SELECT 'default', 'd' || n, 1, 1, 0, now(), now() FROM generate_series(1, 10000) n;
UPDATE documents SET visibility = 'group' WHERE id LIKE '%1';
INSERT INTO document_access (tenant_id, document_id, subject)
SELECT 'default', id, 'g:' || n FROM documents, generate_series(1, 30) n WHERE visibility = 'group';
INSERT INTO document_versions
    (tenant_id, document_id, version, state, content_hash, title, text, metadata, chunk_count, created_at)
SELECT 'default', 'd' || n, 1, 'current', md5(n::text), 'title', 'text', '{}', 10, now() FROM generate_series(1, 10000) n;
INSERT INTO chunks (tenant_id, chunk_id, document_id, version, ordinal, text, headings, start, "end", tokens)
SELECT 'default', md5(n::text), 'd' || (n % 10000 + 1), 1, n / 10000, 'text', '[]', 0, 4, 1
FROM generate_series(0, 99999) n;
INSERT INTO sessions (id, tenant_id, user_id, title, created_at, updated_at)
SELECT 's' || n, 'default', 'u' || n % 100, 'title', now(), now() FROM generate_series(1, 1000) n;
INSERT INTO messages (id, tenant_id, session_id, position, role, content, citations, created_at)
SELECT 'm' || n, 'default', 's' || (n % 1000 + 1), n / 1000, 'user', 'text', '[]', now() FROM generate_series(0, 99999) n;
ANALYZE;
"""


@pytest.fixture(scope="module")
def engine(postgres: str) -> Iterator[Engine]:
    opened = open_engine(make_database(postgres), DatabaseSettings())
    check_schema(opened)
    with transaction(opened) as connection:
        for statement in SEED.strip().split(";\n"):
            connection.execute(text(statement))
    yield opened
    opened.dispose()


@pytest.fixture
def plan(engine: Engine):
    """Run a reading function and return the plan of what it executed."""

    def explain(read) -> str:
        statements: list[tuple[str, object]] = []
        with transaction(engine, DEFAULT_TENANT) as connection:
            note = lambda _c, _cursor, sql, parameters, *_: statements.append((sql, parameters))  # noqa: E731
            event.listen(connection, "before_cursor_execute", note)
            read(TenantTransaction(connection, DEFAULT_TENANT))
            event.remove(connection, "before_cursor_execute", note)
            return "\n".join(_plan(connection, *item) for item in statements)

    return explain


def _plan(connection: Connection, sql: str, parameters: object) -> str:
    return "\n".join(row[0] for row in connection.exec_driver_sql(f"EXPLAIN {sql}", parameters))


def test_hydration_reads_chunks_by_key(plan, engine):
    with transaction(engine) as connection:
        ids = list(connection.execute(text("SELECT chunk_id FROM chunks ORDER BY text, chunk_id LIMIT 60")).scalars())
    for subjects in (None, frozenset({"u:somebody", *(f"g:{n}" for n in range(50))})):
        found = plan(lambda c, subjects=subjects: hydrate(c, ids, Reader(DEFAULT_TENANT, subjects)))
        assert "pk_chunks" in found
        assert "Seq Scan" not in found


def test_history_reads_messages_by_session(plan):
    for read in (
        lambda c: SessionRepository(c, "u7").history("s7", 50, None),
        lambda c: SessionRepository(c, "u7").recent("s7", 10),
    ):
        found = plan(read)
        assert "ix_messages_session_time" in found
        assert "Seq Scan" not in found


def test_sessions_are_listed_by_user(plan):
    found = plan(lambda c: SessionRepository(c, "u7").page(20, None))
    assert "ix_sessions_user_time" in found
    assert "Seq Scan" not in found


def test_a_version_reads_its_chunks_in_order(plan):
    found = plan(lambda c: DocumentRepository(c).version_chunks("d7", 1))
    assert "ix_chunks_document_version" in found
    assert "Seq Scan" not in found
