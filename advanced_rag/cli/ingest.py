"""Files, folders and addresses, ingested from the command line."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress
from rich.table import Table

from advanced_rag.cli.service import Url, with_client
from advanced_rag.cli.terminal import err, out
from advanced_rag.client import ApiError, AsyncClient
from advanced_rag.exceptions import StartupError

_BATCH_FILES, _BATCH_BYTES = 10, 32 * 2**20
_MOST_IN_WORK = 200
_LOOK_EVERY_S = 0.5
_LOOKS_AT_ONCE = 8
_PAGE = 200
_LONGEST_WAIT_S = 60.0
_TOO_MUCH = {429, 503}


@dataclass(frozen=True, slots=True)
class _File:
    """A file and the document it is."""

    path: Path
    document_id: str
    name: str


@dataclass(slots=True)
class _Tally:
    """What became of files."""

    counts: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[str, str, str]] = field(default_factory=list)

    def add(self, name: str, status: str, error: dict[str, Any] | None) -> None:
        self.counts[status] += 1
        if error:
            self.failures.append((name, error["code"], error["message"]))


def ingest(
    source: Annotated[str, typer.Argument(metavar="PATH|URL", help="A file, a folder, or the address of a file.")],
    url: Url = None,
) -> None:
    """Ingest a file, every file of a folder, or what is behind an address; what is there already is left alone."""
    if source.startswith(("http://", "https://")):
        with_client(url, lambda client: _ingest_url(client, source))
        return
    files = list(_files(Path(source)))
    if not files:
        raise StartupError(f"{source}: no files there")
    with_client(url, lambda client: _ingest(client, files))


async def _ingest_url(client: AsyncClient, address: str) -> None:
    tally = _Tally()
    with err.status("ingesting"):
        (item,) = (await client.ingest_url(address))["documents"]
        async for name, status, error in _ended(client, {item["job_id"]: address}):
            tally.add(name, status, error)
    _show(tally)


async def _ingest(client: AsyncClient, files: Sequence[_File]) -> None:
    tally = _Tally()
    with Progress(console=err) as progress:
        sent = progress.add_task("uploaded", total=len(files))
        done = progress.add_task("ready", total=len(files))
        known, in_work = await _known(client), await _in_work(client)
        digests = {file: _digest(file.path) for file in files}
        todo = [file for file in files if known.get(file.document_id) != digests[file]]
        waiting = {in_work[key]: file.name for file in todo if (key := (file.document_id, digests[file])) in in_work}
        fresh = [file for file in todo if (file.document_id, digests[file]) not in in_work]
        tally.counts["unchanged"] += len(files) - len(todo)
        progress.update(sent, completed=len(files) - len(fresh))
        progress.update(done, completed=len(files) - len(todo))
        for batch in _batches(fresh):
            waiting |= await _upload(client, batch)
            progress.advance(sent, len(batch))
            if len(waiting) >= _MOST_IN_WORK:
                async for name, status, error in _ended(client, waiting):
                    tally.add(name, status, error)
                    progress.advance(done)
                waiting = {}
        async for name, status, error in _ended(client, waiting):
            tally.add(name, status, error)
            progress.advance(done)
    _show(tally)


async def _known(client: AsyncClient) -> dict[str, str]:
    """Return the digests of the files that documents were made of."""
    known: dict[str, str] = {}
    cursor: str | None = None
    while True:
        page = await client.documents(limit=_PAGE, cursor=cursor)
        known |= {item["id"]: item["source"]["sha256"] for item in page["documents"] if item.get("source")}
        cursor = page.get("next_cursor")
        if cursor is None:
            return known


async def _in_work(client: AsyncClient) -> dict[tuple[str, str], str]:
    """Return the jobs that have not ended, by the document and the digest of the file: of an upload that was cut off."""
    found: dict[tuple[str, str], str] = {}
    for status in ("queued", "running"):
        cursor: str | None = None
        while True:
            page = await client.jobs(status=status, limit=_PAGE, cursor=cursor)
            found |= {(job["document_id"], job["details"].get("sha256", "")): job["job_id"] for job in page["jobs"]}
            cursor = page.get("next_cursor")
            if cursor is None:
                break
    return found


async def _upload(client: AsyncClient, batch: Sequence[_File]) -> dict[str, str]:
    """Upload files, however often the service asks to come back later; return the names of their jobs' files."""
    told = [{"id": file.document_id, "metadata": {"path": file.name}} for file in batch]
    while True:
        with ExitStack() as stack:
            parts = [(file.path.name, stack.enter_context(file.path.open("rb"))) for file in batch]
            try:
                answer = await client.upload(parts, told)
            except ApiError as error:
                if error.status not in _TOO_MUCH:
                    raise
                wait_s = min(error.retry_after_s or 1.0, _LONGEST_WAIT_S)
            else:
                pairs = zip(answer["documents"], batch, strict=True)
                return {item["job_id"]: file.name for item, file in pairs}
        await asyncio.sleep(wait_s)


async def _ended(client: AsyncClient, jobs: dict[str, str]) -> AsyncIterator[tuple[str, str, dict[str, Any] | None]]:
    """Yield what became of jobs, as they end."""
    waiting = dict(jobs)
    turns = asyncio.Semaphore(_LOOKS_AT_ONCE)

    async def look(job_id: str) -> dict[str, Any]:
        async with turns:
            return await client.job(job_id)

    while waiting:
        for job in await asyncio.gather(*(look(job_id) for job_id in list(waiting)[:_MOST_IN_WORK])):
            if job["status"] in {"queued", "running"}:
                continue
            status = job["details"].get("outcome", job["status"])
            yield waiting.pop(job["job_id"]), status, job.get("error")
        if waiting:
            await asyncio.sleep(_LOOK_EVERY_S)


def _show(tally: _Tally) -> None:
    table = Table("status", "documents")
    for status, count in sorted(tally.counts.items()):
        if count:
            table.add_row(status, str(count))
    out.print(table)
    if tally.failures:
        failed = Table("file", "code", "why")
        for failure in tally.failures:
            failed.add_row(*failure)
        out.print(failed)
        raise typer.Exit(1)


def _files(path: Path) -> Iterator[_File]:
    if path.is_file():
        yield _File(path, path.name, path.name)
    elif path.is_dir():
        for item in sorted(path.rglob("*")):
            name = item.relative_to(path).as_posix()
            if item.is_file() and not any(part.startswith(".") for part in name.split("/")):
                yield _File(item, name.replace("/", ":"), name)
    else:
        raise StartupError(f"{path}: no such file or folder")


def _batches(files: Sequence[_File]) -> Iterator[list[_File]]:
    batch: list[_File] = []
    size = 0
    for file in files:
        more = file.path.stat().st_size
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
