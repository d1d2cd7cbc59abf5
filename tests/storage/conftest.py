"""A database of each kind with the tables in it."""

from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest
from sqlalchemy import Engine

from advanced_rag.config import DatabaseSettings
from advanced_rag.storage.database import Transaction, open_engine
from advanced_rag.storage.migrations import check_schema

T = TypeVar("T")
Write = Callable[[Callable[[Transaction], T]], T]


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    opened = open_engine(database_url, DatabaseSettings())
    yield opened
    opened.dispose()


@pytest.fixture
def write(engine: Engine) -> Write:
    """Run a function in one transaction."""
    check_schema(engine)

    def run(work):
        with engine.begin() as connection:
            return work(connection)

    return run
