"""Files, folders and addresses, ingested from the command line."""

import asyncio
import hashlib
import os
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, TypeVar

import typer
from rich.markup import escape
from rich.progress import Progress, TaskID
from rich.table import Table

from advanced_rag.cli.service import Url, with_client
from advanced_rag.cli.terminal import err, out
from advanced_rag.client import ApiError, AsyncClient
from advanced_rag.exceptions import StartupError
from advanced_rag.models.documents import Priority

T = TypeVar("T")

_BATCH_FILES, _BATCH_BYTES = 10, 32 * 2**20
_MOST_IN_WORK = 200
_LOOK_EVERY_S = 0.5
_LOOKS_AT_ONCE = 8
_PAGE = 200
_LONGEST_WAIT_S = 60.0
_TOO_MUCH = {429, 503}
_REFUSED = {400, 413, 422}  # for what a file is, or is called: others may fare better


@dataclass(frozen=True, slots=True)
class _File:
    """A file, the document it is, and how urgent it is."""

    path: Path
    document_id: str
    name: str
    priority: Priority = "normal"


@dataclass(slots=True)
class _Tally:
    """What became of files."""

    counts: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[str, str, str]] = field(default_factory=list)

    def add(self, name: str, status: str, error: dict[str, Any] | None) -> None:
        self.counts[status] += 1
        if error:
            self.failures.append((name, error["code"], error["message"]))

    def refuse(self, name: str, error: ApiError | OSError) -> None:
        """Count a file that did not come as far as to have a job."""
        code, why = (error.code, error.message) if isinstance(error, ApiError) else ("unreadable", error.strerror)
        self.add(name, "failed", {"code": code, "message": why or "it cannot be read"})


@dataclass(frozen=True, slots=True)
class _Bars:
    """How far files have come."""

    progress: Progress
    read: TaskID
    sent: TaskID
    done: TaskID

    @classmethod
    def of(cls, progress: Progress, files: int) -> "_Bars":
        return cls(progress, *(progress.add_task(name, total=files) for name in ("read", "uploaded", "ready")))

    def advance(self, bar: TaskID, files: int = 1) -> None:
        self.progress.advance(bar, files)


def ingest(
    source: Annotated[str, typer.Argument(metavar="PATH|URL", help="A file, a folder, or the address of a file.")],
    priority: Annotated[Priority, typer.Option(help="high, normal or low, among what is queued.")] = "normal",
    url: Url = None,
) -> None:
    """Ingest a file, every file of a folder, or what is behind an address; what is there already is left alone.

    Hidden files are left out, and links to folders are not followed.
    """
    tally = _Tally()
    try:
        if source.startswith(("http://", "https://")):
            with_client(url, lambda client: _ingest_url(client, source, priority, tally))
            return
        files = [replace(file, priority=priority) for file in _files(Path(source), tally)]
        if not files and not tally.failures:
            raise StartupError(f"{source}: no files there")
        with_client(url, lambda client: _ingest(client, files, tally))
    finally:
        _show(tally)
    if tally.failures:
        raise typer.Exit(1)


async def _ingest_url(client: AsyncClient, address: str, priority: Priority, tally: _Tally) -> None:
    with err.status("ingesting"):
        (item,) = (await _patiently(lambda: client.ingest_url(address, {"priority": priority})))["documents"]
        async for name, status, error in _ended(client, {item["job_id"]: address}):
            tally.add(name, status, error)


async def _ingest(client: AsyncClient, files: Sequence[_File], tally: _Tally) -> None:
    with Progress(console=err) as progress:
        bars = _Bars.of(progress, len(files))
        digests = await _digests(files, tally, bars)
        known, in_work = await _known(client), await _in_work(client)
        todo = [file for file in digests if known.get(file.document_id) != digests[file]]
        waiting = {in_work[key]: file.name for file in todo if (key := (file.document_id, digests[file])) in in_work}
        fresh = [file for file in todo if (file.document_id, digests[file]) not in in_work]
        tally.counts["unchanged"] += len(digests) - len(todo)
        bars.advance(bars.sent, len(files) - len(fresh))
        bars.advance(bars.done, len(files) - len(todo))
        for batch in _batches(fresh):
            sent = await _send(client, batch, tally)
            bars.advance(bars.sent, len(batch))
            bars.advance(bars.done, len(batch) - len(sent))
            waiting |= sent
            if len(waiting) >= _MOST_IN_WORK:
                await _follow(client, waiting, tally, bars)
                waiting = {}
        await _follow(client, waiting, tally, bars)


async def _digests(files: Sequence[_File], tally: _Tally, bars: _Bars) -> dict[_File, str]:
    """Return the digests of those files that can be read."""
    digests: dict[_File, str] = {}
    for file in files:
        try:
            digests[file] = await asyncio.to_thread(_digest, file.path)
        except OSError as error:
            tally.refuse(file.name, error)
        bars.advance(bars.read)
    return digests


async def _known(client: AsyncClient) -> dict[str, str]:
    """Return the digests of the files that documents were made of."""
    known: dict[str, str] = {}
    async for page in _pages(client.documents):
        known |= {item["id"]: item["source"]["sha256"] for item in page["documents"] if item.get("source")}
    return known


async def _in_work(client: AsyncClient) -> dict[tuple[str, str], str]:
    """Return the jobs that have not ended, by the document and the digest of the file: of an upload that was cut off."""
    found: dict[tuple[str, str], str] = {}
    for status in ("queued", "running"):
        async for page in _pages(client.jobs, status=status):
            found |= {(job["document_id"], job["details"].get("sha256", "")): job["job_id"] for job in page["jobs"]}
    return found


async def _pages(listing: Callable[..., Awaitable[dict[str, Any]]], **wanted: Any) -> AsyncIterator[dict[str, Any]]:
    cursor: str | None = None
    while True:
        page = await _patiently(lambda cursor=cursor: listing(limit=_PAGE, cursor=cursor, **wanted))  # type: ignore[misc]
        yield page
        cursor = page.get("next_cursor")
        if cursor is None:
            return


async def _send(client: AsyncClient, batch: Sequence[_File], tally: _Tally) -> dict[str, str]:
    """Upload files, one by one where they are refused together; return the names of their jobs' files."""
    try:
        return await _patiently(lambda: _upload(client, batch))
    except (ApiError, OSError) as error:
        if isinstance(error, ApiError) and error.status not in _REFUSED:
            raise
        if len(batch) == 1:
            tally.refuse(batch[0].name, error)
            return {}
    sent: dict[str, str] = {}
    for file in batch:
        sent |= await _send(client, [file], tally)
    return sent


async def _upload(client: AsyncClient, batch: Sequence[_File]) -> dict[str, str]:
    told = [{"id": file.document_id, "metadata": {"path": file.name}, "priority": file.priority} for file in batch]
    with ExitStack() as stack:
        parts = [(PurePosixPath(file.name).name, stack.enter_context(file.path.open("rb"))) for file in batch]
        answer = await client.upload(parts, told)
    return {item["job_id"]: file.name for item, file in zip(answer["documents"], batch, strict=True)}


async def _patiently(call: Callable[[], Awaitable[T]]) -> T:
    """Call the service, however often it asks to come back in a while; a day's quota is not waited for."""
    while True:
        try:
            return await call()
        except ApiError as error:
            if error.status not in _TOO_MUCH or error.code == "quota_exceeded":
                raise
            wait_s = min(error.retry_after_s or 1.0, _LONGEST_WAIT_S)
        await asyncio.sleep(wait_s)


async def _follow(client: AsyncClient, waiting: dict[str, str], tally: _Tally, bars: _Bars) -> None:
    async for name, status, error in _ended(client, waiting):
        tally.add(name, status, error)
        bars.advance(bars.done)


async def _ended(client: AsyncClient, jobs: dict[str, str]) -> AsyncIterator[tuple[str, str, dict[str, Any] | None]]:
    """Yield what became of jobs, as they end: about in the order in which they came."""
    waiting = dict(jobs)
    while waiting:
        asked = list(waiting)[:_LOOKS_AT_ONCE]
        found = await asyncio.gather(*(_patiently(lambda job_id=job_id: client.job(job_id)) for job_id in asked))  # type: ignore[misc]
        ended = [job for job in found if job["status"] not in {"queued", "running"}]
        for job in ended:
            yield waiting.pop(job["job_id"]), job["details"].get("outcome", job["status"]), job.get("error")
        if not ended:
            await asyncio.sleep(_LOOK_EVERY_S)


def _show(tally: _Tally) -> None:
    if not tally.counts:
        return
    table = Table("status", "documents")
    for status, count in sorted(tally.counts.items()):
        if count:
            table.add_row(status, str(count))
    out.print(table)
    if tally.failures:
        failed = Table("file", "code", "why")
        for failure in tally.failures:
            failed.add_row(*map(escape, failure))
        out.print(failed)


def _files(path: Path, tally: _Tally) -> Iterator[_File]:
    if path.is_file():
        yield _file(path, path.name)
    elif path.is_dir():
        for folder, folders, names in os.walk(path, onerror=lambda error: tally.refuse(_shown(str(error.filename)), error)):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for item in (Path(folder, name) for name in sorted(names) if not name.startswith(".")):
                if item.is_file():
                    yield _file(item, item.relative_to(path).as_posix())
    else:
        raise StartupError(f"{path}: no such file or folder")


def _file(path: Path, name: str) -> _File:
    shown = _shown(name)
    return _File(path, shown.replace("/", ":"), shown)


def _shown(name: str) -> str:
    """Return a name as text, whatever bytes it is on disk."""
    return os.fsencode(name).decode("utf-8", "replace")


def _batches(files: Sequence[_File]) -> Iterator[list[_File]]:
    batch: list[_File] = []
    size = 0
    for file in files:
        more = _size(file.path)
        if batch and (len(batch) >= _BATCH_FILES or size + more > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(file)
        size += more
    if batch:
        yield batch


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # gone since it was read: the upload will say so
        return 0
