"""A whole service on real parts in this process, called as over HTTP."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import orjson
from pydantic import SecretStr

from advanced_rag.api.app import create_app
from advanced_rag.config import DatabaseSettings, ExamplesSettings, Settings
from advanced_rag.container import Container
from advanced_rag.models.identity import KeyRequest
from advanced_rag.opening import Opening

T = TypeVar("T")


class LiveService:
    """A service in a loop of its own, called as over HTTP."""

    container: Container

    def __init__(
        self, data_dir: Path, database_url: str | None = None, *, reindexing: bool = False, **settings: Any
    ) -> None:
        url = SecretStr(database_url) if database_url else None
        own = {"database": DatabaseSettings(url=url), "examples": ExamplesSettings(ingest=False), **settings}
        self._settings = Settings(data_dir=data_dir, **own)
        self._runner = asyncio.Runner()
        self._opening = Opening(self._settings, reindexing=reindexing)

    def __enter__(self) -> "LiveService":
        try:
            self._runner.run(self._opening.__aenter__())
        except BaseException:
            self._runner.close()
            raise
        self.container = self._opening.container
        self._app = create_app(self._settings, self._opening)
        transport = httpx2.ASGITransport(app=self._app, raise_app_exceptions=False)
        self._http = httpx2.AsyncClient(transport=transport, base_url="http://service")
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._http.aclose())
        self._runner.run(self._opening.__aexit__(None, None, None))
        self._runner.close()

    def request(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """Send one request."""
        return self._runner.run(self._http.request(method, path, **options))

    def key(self, tenant: str = "default", role: str = "admin", **wanted: Any) -> dict[str, str]:
        """Make an API key of a tenant, which is made where there is none; returns the headers that carry it."""
        return {"Authorization": f"Bearer {self.run(self._key(tenant, role, wanted))}"}

    async def _key(self, tenant: str, role: str, wanted: dict[str, Any]) -> str:
        tenants = self.container.identities.tenants
        names = {item.name for item in await tenants.all()}
        found = await (tenants.find(tenant) if tenant in names else tenants.create(tenant))
        _, secret = await self.container.identities.keys.create(found.id, KeyRequest("test", role, **wanted))
        return secret

    def post(self, path: str, **body: Any) -> httpx2.Response:
        """Post a JSON body."""
        return self.request("POST", path, json=body)

    def get(self, path: str) -> httpx2.Response:
        """Get a path."""
        return self.request("GET", path)

    def together(self, calls: list[tuple[str, str, Any]]) -> list[httpx2.Response]:
        """Send several requests at once."""
        return self._runner.run(self.gather(calls))

    async def gather(self, calls: list[tuple[str, str, Any]]) -> list[httpx2.Response]:
        """Send several requests at once, from the loop of the service."""
        return await asyncio.gather(*(self._http.request(method, path, json=body) for method, path, body in calls))

    async def call_and_hang_up(self, path: str, body: Any, *, after: asyncio.Event) -> None:
        """Post a body over ASGI itself, and disconnect once ``after`` is set."""
        messages = [{"type": "http.request", "body": orjson.dumps(body), "more_body": False}]

        async def receive() -> dict[str, Any]:
            if messages:
                return messages.pop()
            await after.wait()
            return {"type": "http.disconnect"}

        async def send(_message: Any) -> None:
            return

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": [(b"content-type", b"application/json")],
            "client": ("127.0.0.1", 1),
            "server": ("service", 80),
        }
        await self._app(scope, receive, send)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop of the service; it runs only while something is asked of it."""
        return self._runner.get_loop()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something in the loop of the service."""
        return self._runner.run(work)
