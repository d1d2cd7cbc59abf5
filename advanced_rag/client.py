"""A client for the HTTP API, in a blocking and an asynchronous kind."""

from collections.abc import Awaitable, Mapping, Sequence
from types import TracebackType
from typing import Any, Generic, Self, TypeVar
from urllib.parse import quote

import httpx2

DEFAULT_URL = "http://127.0.0.1:8000"
_TIMEOUT_S = 300.0
Json = dict[str, Any]
Answer = TypeVar("Answer")


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


class _Calls(Generic[Answer]):
    """Every call of the API; how it is sent, and so whether the answer is awaited, is the client's business."""

    def ingest(self, documents: Sequence[Mapping[str, Any]], *, wait: bool = True) -> Answer:
        """Ingest texts; without ``wait`` they are finished in the background, and the answer names their jobs."""
        return self._send("POST", "/v1/ingest", {"documents": list(documents)}, {"wait": wait})

    def document(self, document_id: str) -> Answer:
        """Return a document."""
        return self._send("GET", _path("documents", document_id))

    def documents(self, *, limit: int = 50, cursor: str | None = None) -> Answer:
        """List documents, oldest first; the answer's ``next_cursor`` leads to the next page."""
        return self._send("GET", "/v1/documents", params=_page(limit, cursor))

    def delete(self, document_id: str) -> Answer:
        """Delete a document."""
        return self._send("DELETE", _path("documents", document_id))

    def retrieve(self, query: str, **options: Any) -> Answer:
        """Find passages."""
        return self._send("POST", "/v1/retrieve", {"query": query, **options})

    def chat(self, message: str, **options: Any) -> Answer:
        """Ask a question; ``session_id`` makes it part of a conversation."""
        return self._send("POST", "/v1/chat", {"message": message, **options})

    def feedback(self, message_id: str, rating: int, comment: str | None = None) -> Answer:
        """Rate an answer from 1 to 5."""
        return self._send("POST", "/v1/feedback", {"message_id": message_id, "rating": rating, "comment": comment})

    def create_session(self, title: str) -> Answer:
        """Open a conversation."""
        return self._send("POST", "/v1/sessions", {"title": title})

    def sessions(self, *, limit: int = 50, cursor: str | None = None) -> Answer:
        """List conversations, newest first."""
        return self._send("GET", "/v1/sessions", params=_page(limit, cursor))

    def messages(self, session_id: str, *, limit: int = 50, cursor: str | None = None) -> Answer:
        """List the messages of a conversation, oldest first."""
        return self._send("GET", f"{_path('sessions', session_id)}/messages", params=_page(limit, cursor))

    def rename_session(self, session_id: str, title: str) -> Answer:
        """Change the title of a conversation."""
        return self._send("PATCH", _path("sessions", session_id), {"title": title})

    def delete_session(self, session_id: str) -> Answer:
        """Delete a conversation."""
        return self._send("DELETE", _path("sessions", session_id))

    def status(self) -> Answer:
        """Tell what the service holds."""
        return self._send("GET", "/v1/status")

    def verify(self, *, repair: bool = False, all_tenants: bool = False) -> Answer:
        """Compare SQL and Milvus."""
        return self._send("POST", "/v1/index/verify", {"repair": repair, "all_tenants": all_tenants})

    def plan_reindex(self, *, kinds: Sequence[str] | None = None) -> Answer:
        """Tell what building the index anew would do."""
        return self._send("POST", "/v1/index/reindex/plan", {"kinds": kinds})

    def reindex(self, *, kinds: Sequence[str] | None = None, **options: Any) -> Answer:
        """Begin to build the index anew."""
        return self._send("POST", "/v1/index/reindex", {"kinds": kinds, **options})

    def reindexing(self) -> Answer:
        """Tell how far building the index anew has come."""
        return self._send("GET", "/v1/index/reindex")

    def cancel_reindex(self) -> Answer:
        """Stop building the index anew."""
        return self._send("POST", "/v1/index/reindex/cancel")

    def roll_back(self, *, kinds: Sequence[str] | None = None) -> Answer:
        """Search again what was replaced last."""
        return self._send("POST", "/v1/index/rollback", {"kinds": kinds})

    def _send(self, method: str, path: str, body: Json | None = None, params: Json | None = None) -> Answer:
        raise NotImplementedError


class Client(_Calls[Json]):
    """Calls the service and waits; raises ApiError, or httpx2.TransportError when nobody answers."""

    def __init__(
        self, url: str = DEFAULT_URL, *, key: str | None = None, transport: httpx2.BaseTransport | None = None
    ) -> None:
        self._http = httpx2.Client(base_url=url, headers=_headers(key), timeout=_TIMEOUT_S, transport=transport)

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connections."""
        self._http.close()

    def _send(self, method: str, path: str, body: Json | None = None, params: Json | None = None) -> Json:
        return _read(self._http.request(method, path, json=body, params=params))


class AsyncClient(_Calls[Awaitable[Json]]):
    """Calls the service without blocking; raises ApiError, or httpx2.TransportError when nobody answers."""

    def __init__(
        self, url: str = DEFAULT_URL, *, key: str | None = None, transport: httpx2.AsyncBaseTransport | None = None
    ) -> None:
        self._http = httpx2.AsyncClient(base_url=url, headers=_headers(key), timeout=_TIMEOUT_S, transport=transport)

    async def __aenter__(self) -> Self:
        """Return the client."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _send(self, method: str, path: str, body: Json | None = None, params: Json | None = None) -> Json:
        return _read(await self._http.request(method, path, json=body, params=params))


def _headers(key: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"} if key else {}


def _path(kind: str, key: str) -> str:
    return f"/v1/{kind}/{quote(key, safe='')}"


def _page(limit: int, cursor: str | None) -> Json:
    return {"limit": limit, **({"cursor": cursor} if cursor else {})}
