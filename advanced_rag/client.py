"""A client for the HTTP API, in a blocking and an asynchronous kind."""

import json
from collections.abc import Awaitable, Mapping, Sequence
from types import TracebackType
from typing import IO, Any, Generic, Self, TypeVar
from urllib.parse import quote

import httpx2

DEFAULT_URL = "http://127.0.0.1:8000"
_TIMEOUT_S = 300.0
Json = dict[str, Any]
FileContent = bytes | IO[bytes]
Answer = TypeVar("Answer")


class ApiError(Exception):
    """The service answered with an error; ``retry_after_s`` is when to try again, where that may help."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        fields: Sequence[Mapping[str, str]] = (),
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.status = status
        self.retry_after_s = retry_after_s
        self.code = code
        self.message = message
        self.fields = list(fields)


def _read(response: httpx2.Response) -> Json:
    if response.is_success:
        return dict(response.json()) if response.content else {}
    try:
        error = response.json()["error"]
        wait_s = response.headers.get("retry-after")
        fields = error.get("field_errors", ())
        raise ApiError(response.status_code, error["code"], error["message"], fields, float(wait_s) if wait_s else None)
    except (ValueError, KeyError, TypeError):
        raise ApiError(response.status_code, "unexpected_answer", "not an answer of this service") from None


class _Calls(Generic[Answer]):
    """Every call of the API; how it is sent, and so whether the answer is awaited, is the client's business."""

    def ingest(self, documents: Sequence[Mapping[str, Any]], *, wait: bool = True) -> Answer:
        """Ingest texts; without ``wait`` they are finished in the background, and the answer names their jobs."""
        return self._send("POST", "/v1/ingest", {"documents": list(documents)}, {"wait": wait})

    def upload(
        self,
        files: Sequence[tuple[str, FileContent]],
        documents: Sequence[Mapping[str, Any]] | None = None,
        *,
        wait: bool = False,
    ) -> Answer:
        """Ingest files, each a name and its content or an open file; ``documents`` say of each what is not in it."""
        told = {"documents": json.dumps(list(documents))} if documents is not None else None
        parts = [("files", item) for item in files]
        return self._send("POST", "/v1/ingest", params={"wait": wait}, data=told, files=parts)

    def ingest_url(self, url: str, document: Mapping[str, Any] | None = None, *, wait: bool = False) -> Answer:
        """Ingest the file behind an address, where the service fetches them."""
        return self._send("POST", "/v1/ingest", {"url": url, "document": document}, {"wait": wait})

    def job(self, job_id: str) -> Answer:
        """Tell how far a job has come."""
        return self._send("GET", _path("jobs", job_id))

    def jobs(self, *, status: str | None = None, limit: int = 50, cursor: str | None = None) -> Answer:
        """List jobs, newest first."""
        return self._send("GET", "/v1/jobs", params=_page(limit, cursor) | ({"status": status} if status else {}))

    def cancel_job(self, job_id: str) -> Answer:
        """Stop a job."""
        return self._send("POST", f"{_path('jobs', job_id)}/cancel")

    def retry_job(self, job_id: str) -> Answer:
        """Queue a dead job again."""
        return self._send("POST", f"{_path('jobs', job_id)}/retry")

    def purge_dead_jobs(self) -> Answer:
        """Remove the dead jobs of the tenant."""
        return self._send("DELETE", "/v1/jobs/dead")

    def document(self, document_id: str) -> Answer:
        """Return a document."""
        return self._send("GET", _path("documents", document_id))

    def documents(self, *, limit: int = 50, cursor: str | None = None) -> Answer:
        """List documents, oldest first; the answer's ``next_cursor`` leads to the next page."""
        return self._send("GET", "/v1/documents", params=_page(limit, cursor))

    def change(self, document_id: str, *, wait: bool = True, **changes: Any) -> Answer:
        """Change any of ``title``, ``metadata`` and ``domain`` of a document."""
        return self._send("PATCH", _path("documents", document_id), changes, {"wait": wait})

    def versions(self, document_id: str, *, limit: int = 50, cursor: str | None = None) -> Answer:
        """List the versions of a document, newest first."""
        return self._send("GET", f"{_path('documents', document_id)}/versions", params=_page(limit, cursor))

    def version(self, document_id: str, version: int) -> Answer:
        """Return a version with its text."""
        return self._send("GET", f"{_path('documents', document_id)}/versions/{version}")

    def restore(self, document_id: str, version: int, *, wait: bool = True) -> Answer:
        """Make a new version of an older one."""
        return self._send("POST", f"{_path('documents', document_id)}/versions/{version}/restore", params={"wait": wait})

    def delete(self, document_id: str) -> Answer:
        """Delete a document; the answer's ``receipt`` tells what is left of it."""
        return self._send("DELETE", _path("documents", document_id))

    def delete_where(self, filters: Mapping[str, Any], *, dry_run: bool = True, limit: int = 1000) -> Answer:
        """Count the documents a filter matches, or delete them; while the answer is not ``complete``, there are more."""
        return self._send("POST", "/v1/documents/delete", {"filters": dict(filters), "dry_run": dry_run, "limit": limit})

    def delete_all(self, *, dry_run: bool = True, limit: int = 1000) -> Answer:
        """Count or delete every document the caller may see; while the answer is not ``complete``, there are more."""
        return self._send("POST", "/v1/documents/delete", {"all": True, "dry_run": dry_run, "limit": limit})

    def deleted(self, *, limit: int = 50, cursor: str | None = None) -> Answer:
        """List deleted documents, the last one first."""
        return self._send("GET", "/v1/documents", params={"deleted": True, **_page(limit, cursor)})

    def expire(self, document_id: str, moment: str | None) -> Answer:
        """Say when a document is to be deleted, in ISO 8601 with its offset from UTC; None: not by itself."""
        return self._send("PUT", f"{_path('documents', document_id)}/expiry", {"expires_at": moment})

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

    def _send(
        self, method: str, path: str, body: Json | None = None, params: Json | None = None, **multipart: Any
    ) -> Answer:
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

    def _send(self, method: str, path: str, body: Json | None = None, params: Json | None = None, **multipart: Any) -> Json:
        return _read(self._http.request(method, path, json=body, params=params, **multipart))


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

    async def _send(
        self, method: str, path: str, body: Json | None = None, params: Json | None = None, **multipart: Any
    ) -> Json:
        return _read(await self._http.request(method, path, json=body, params=params, **multipart))


def _headers(key: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"} if key else {}


def _path(kind: str, key: str) -> str:
    return f"/v1/{kind}/{quote(key, safe='')}"


def _page(limit: int, cursor: str | None) -> Json:
    return {"limit": limit, **({"cursor": cursor} if cursor else {})}
