"""A service for each test that breaks a part of it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from advanced_rag.services import rebuild
from tests.conftest import make_data_dir
from tests.support.live import LiveService


@pytest.fixture
def service(data_dir: Path) -> Iterator[LiveService]:
    """A fresh service on SQLite."""
    with LiveService(data_dir) as live:
        yield live


@pytest.fixture
def new_data_dir(tmp_path: Path, prepared_encoders: Path) -> Callable[[str], Path]:
    """Data directories by name, each with the prepared encoder and nothing else."""
    return lambda name: make_data_dir(tmp_path / name, prepared_encoders)


@pytest.fixture
def followed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a run not wait until other processes know of its collections, where there are no others."""
    monkeypatch.setattr(rebuild, "UNTIL_FOLLOWED_S", 0.0)
