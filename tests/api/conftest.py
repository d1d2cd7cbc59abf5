"""A whole service on real parts: SQLite and PostgreSQL, Milvus Lite, the bundled encoder; no network."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr

from advanced_rag.api.app import create_app
from advanced_rag.config import DatabaseSettings, ExamplesSettings, Settings
from advanced_rag.container import open_container
from tests.conftest import make_data_dir, make_database


class LiveService:
    """A service in a loop of its own, called as over HTTP."""

    def __init__(self, data_dir: Path, database_url: str | None = None) -> None:
        url = SecretStr(database_url) if database_url else None
        database = DatabaseSettings(url=url)
        self._settings = Settings(data_dir=data_dir, examples=ExamplesSettings(ingest=False), database=database)
        self._runner = asyncio.Runner()
        self._container = open_container(self._settings)

    def __enter__(self) -> "LiveService":
        container = self._runner.run(self._container.__aenter__())
        app = create_app(self._settings, container)
        transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
        self._http = httpx2.AsyncClient(transport=transport, base_url="http://service")
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._http.aclose())
        self._runner.run(self._container.__aexit__(None, None, None))
        self._runner.close()

    def request(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """Send one request."""
        return self._runner.run(self._http.request(method, path, **options))

    def post(self, path: str, **body: Any) -> httpx2.Response:
        """Post a JSON body."""
        return self.request("POST", path, json=body)

    def get(self, path: str) -> httpx2.Response:
        """Get a path."""
        return self.request("GET", path)

    def together(self, calls: list[tuple[str, str, Any]]) -> list[httpx2.Response]:
        """Send several requests at once."""

        async def run() -> list[httpx2.Response]:
            return await asyncio.gather(*(self._http.request(method, path, json=body) for method, path, body in calls))

        return self._runner.run(run())


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def service(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, prepared_encoders: Path
) -> Iterator[LiveService]:
    """One service per kind of database for all tests of the API; each test uses documents of its own."""
    url = make_database(request.getfixturevalue("postgres")) if request.param == "postgresql" else None
    data_dir = make_data_dir(tmp_path_factory.mktemp("service") / "data", prepared_encoders)
    with LiveService(data_dir, url) as live:
        yield live
