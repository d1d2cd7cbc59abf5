"""One service for all tests of the API."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import make_data_dir, make_database
from tests.support.live import LiveService


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def service(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, prepared_encoders: Path
) -> Iterator[LiveService]:
    """One service per kind of database for all tests of the API; each test uses documents of its own."""
    url = make_database(request.getfixturevalue("postgres")) if request.param == "postgresql" else None
    data_dir = make_data_dir(tmp_path_factory.mktemp("service") / "data", prepared_encoders)
    with LiveService(data_dir, url) as live:
        yield live
