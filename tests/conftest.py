"""Settings of every test: no RAG_ variables from outside, reproducible examples."""

import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy import create_engine, text

from advanced_rag.config import EncoderSettings
from advanced_rag.encoders.load import BUNDLED_MODEL, load_encoder
from tests.support.postgres import USER, running_postgres

settings.register_profile(
    "repeatable",
    derandomize=True,
    deadline=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
settings.load_profile("repeatable")


@pytest.fixture(scope="session", autouse=True)
def environment_without_settings() -> Iterator[None]:
    kept = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("RAG_") and "RAG_TEST_" not in name}
    yield
    os.environ.update(kept)


@pytest.fixture(scope="session")
def prepared_encoders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled encoder, prepared once for all tests as a first start prepares it."""
    folder = tmp_path_factory.mktemp("prepared") / "encoders"
    load_encoder(BUNDLED_MODEL, EncoderSettings(), folder)
    return folder


@pytest.fixture
def data_dir(tmp_path: Path, prepared_encoders: Path) -> Path:
    """A data directory that holds the prepared encoder and nothing else."""
    return make_data_dir(tmp_path / "data", prepared_encoders)


def make_data_dir(folder: Path, prepared_encoders: Path) -> Path:
    shutil.copytree(prepared_encoders, folder / "encoders", copy_function=os.link)
    return folder


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A PostgreSQL server: its URL without a database."""
    with running_postgres() as server:
        yield server.url


def make_database(server: str) -> str:
    """Create an empty database on a server and return its URL, for a role that is no superuser: policies bind it."""
    name = f"t{uuid.uuid4().hex}"
    engine = create_engine(f"{server}/postgres", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE ROLE {name} LOGIN"))
        connection.execute(text(f"CREATE DATABASE {name} OWNER {name}"))
    engine.dispose()
    return f"{server}/{name}".replace(f"{USER}@", f"{name}@")


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'rag.db'}"
    return make_database(request.getfixturevalue("postgres"))
