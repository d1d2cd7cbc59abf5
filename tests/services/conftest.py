"""A service for each test that breaks a part of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.live import LiveService


@pytest.fixture
def service(data_dir: Path) -> Iterator[LiveService]:
    """A fresh service on SQLite."""
    with LiveService(data_dir) as live:
        yield live
