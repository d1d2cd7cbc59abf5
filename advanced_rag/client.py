"""A client for the HTTP API, in a blocking and an asynchronous kind."""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx2

DEFAULT_URL = "http://127.0.0.1:8000"
_TIMEOUT_S = 300.0
Json = dict[str, Any]


class ApiError(Exception):
    """The service answered with an error."""

    def __init__(self, status: int, code: str, message: str, fields: Sequence[Mapping[str, str]] = ()) -> None:
        super().__init__(f"{code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.fields = list(fields)


def _read(response: httpx2.Response) -> Json:
    if response.is_success:
        return dict(response.json()) if response.content else {}
    try:
        error = response.json()["error"]
        raise ApiError(response.status_code, error["code"], error["message"], error.get("field_errors", ()))
    except (ValueError, KeyError, TypeError):
        raise ApiError(response.status_code, "unexpected_answer", "not an answer of this service") from None


def _document(document_id: str) -> str:
    return f"/v1/documents/{quote(document_id, safe='')}"


class Client:
    """Calls the service and waits."""

    def __init__(self, url: str = DEFAULT_URL, *, transport: httpx2.BaseTransport | None = None) -> None:
        self._http = httpx2.Client(base_url=url, timeout=_TIMEOUT_S, transport=transport)

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connections."""
        self._http.close()

    def ingest(self, documents: Sequence[Mapping[str, Any]]) -> Json:
        """Ingest documents."""
        return self._post("/v1/ingest", {"documents": list(documents)})

    def retrieve(self, query: str, **options: Any) -> Json:
        """Find passages."""
        return self._post("/v1/retrieve", {"query": query, **options})

    def chat(self, message: str, **options: Any) -> Json:
        """Ask a question."""
        return self._post("/v1/chat", {"message": message, **options})

    def document(self, document_id: str) -> Json:
        """Return a document."""
        return _read(self._http.get(_document(document_id)))

    def delete(self, document_id: str) -> Json:
        """Delete a document."""
        return _read(self._http.delete(_document(document_id)))

    def status(self) -> Json:
        """Tell what the service holds."""
        return _read(self._http.get("/v1/status"))

    def verify(self, *, repair: bool = False) -> Json:
        """Compare SQL and Milvus."""
        return self._post("/v1/index/verify", {"repair": repair})

    def _post(self, path: str, body: Json) -> Json:
        return _read(self._http.post(path, json=body))


class AsyncClient:
    """Calls the service without blocking."""

    def __init__(self, url: str = DEFAULT_URL, *, transport: httpx2.AsyncBaseTransport | None = None) -> None:
        self._http = httpx2.AsyncClient(base_url=url, timeout=_TIMEOUT_S, transport=transport)

    async def __aenter__(self) -> Self:
        """Return the client."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def ingest(self, documents: Sequence[Mapping[str, Any]]) -> Json:
        """Ingest documents."""
        return await self._post("/v1/ingest", {"documents": list(documents)})

    async def retrieve(self, query: str, **options: Any) -> Json:
        """Find passages."""
        return await self._post("/v1/retrieve", {"query": query, **options})

    async def chat(self, message: str, **options: Any) -> Json:
        """Ask a question."""
        return await self._post("/v1/chat", {"message": message, **options})

    async def document(self, document_id: str) -> Json:
        """Return a document."""
        return _read(await self._http.get(_document(document_id)))

    async def delete(self, document_id: str) -> Json:
        """Delete a document."""
        return _read(await self._http.delete(_document(document_id)))

    async def status(self) -> Json:
        """Tell what the service holds."""
        return _read(await self._http.get("/v1/status"))

    async def verify(self, *, repair: bool = False) -> Json:
        """Compare SQL and Milvus."""
        return await self._post("/v1/index/verify", {"repair": repair})

    async def _post(self, path: str, body: Json) -> Json:
        return _read(await self._http.post(path, json=body))
