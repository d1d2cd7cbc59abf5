"""A database of each kind with the tables in it."""

from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest
from sqlalchemy import Engine

from advanced_rag.config import DatabaseSettings
from advanced_rag.models.documents import DEFAULT_TENANT, TenantId
from advanced_rag.storage.database import TenantTransaction, open_engine, transaction
from advanced_rag.storage.migrations import check_schema

T = TypeVar("T")
Write = Callable[[Callable[[TenantTransaction], T]], T]


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    opened = open_engine(database_url, DatabaseSettings())
    yield opened
    opened.dispose()


@pytest.fixture
def write(engine: Engine) -> Write:
    """Run a function in one transaction of a tenant."""
    check_schema(engine)

    def run(work, tenant: TenantId = DEFAULT_TENANT):
        with transaction(engine, tenant) as connection:
            return work(TenantTransaction(connection, tenant))

    return run
