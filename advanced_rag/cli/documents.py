"""Commands that are calls of the API: of a running service, or of one opened for the command.

Where identities are required, the key is taken from the environment variable ``ADVANCED_RAG_KEY``.
"""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import httpx2
import typer
from rich.progress import Progress
from rich.table import Table

from advanced_rag.api.app import create_app
from advanced_rag.cli.terminal import err, opened, out, run_to_end
from advanced_rag.client import AsyncClient
from advanced_rag.config import Settings
from advanced_rag.environment import load_settings
from advanced_rag.exceptions import StartupError
from advanced_rag.opening import LOCK_FILE, is_in_use
from advanced_rag.telemetry.logs import logging_to_stderr

KEY_VARIABLE = "ADVANCED_RAG_KEY"

Url = Annotated[str | None, typer.Option(help="A running service; by default the one on this data directory.")]
_SUFFIXES = {".md", ".txt", ".text", ".markdown", ".rst"}
_BATCH = 50


def ingest(path: Path, url: Url = None) -> None:
    """Ingest a file, or every text and Markdown file of a folder."""
    files = sorted(_files(path))
    if not files:
        raise StartupError(f"{path}: no text or Markdown files there")
    with_client(url, lambda client: _ingest(client, path, files))


async def _ingest(client: AsyncClient, root: Path, files: list[Path]) -> None:
    table = Table("status", "documents")
    counts: dict[str, int] = {}
    failures: list[tuple[str, str]] = []
    with Progress(console=err) as progress:
        task = progress.add_task("ingesting", total=len(files))
        for start in range(0, len(files), _BATCH):
            batch = files[start : start + _BATCH]
            answer = await client.ingest([_document(root, file) for file in batch])
            for item in answer["documents"]:
                counts[item["status"]] = counts.get(item["status"], 0) + 1
                if item["status"] == "failed":
                    failures.append((item["id"], item["error"]["code"]))
            progress.advance(task, len(batch))
    for status, count in sorted(counts.items()):
        table.add_row(status, str(count))
    out.print(table)
    for document_id, code in failures:
        err.print(f"failed: {document_id}: {code}", markup=False)
    if failures:
        raise typer.Exit(1)


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
    elif path.is_dir():
        yield from (item for item in path.rglob("*") if item.is_file() and item.suffix.lower() in _SUFFIXES)
    else:
        raise StartupError(f"{path}: no such file or folder")


def _document(root: Path, file: Path) -> dict[str, Any]:
    name = file.relative_to(root).as_posix() if root.is_dir() else file.name
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StartupError(f"{file}: cannot be read as UTF-8 text ({type(error).__name__})") from None
    return {"id": name.replace("/", ":"), "text": text, "metadata": {"path": name}}


def search(query: str, top_k: int = 5, url: Url = None) -> None:
    """Find passages."""

    async def run(client: AsyncClient) -> None:
        answer = await client.retrieve(query, top_k=top_k)
        for n, hit in enumerate(answer["hits"], start=1):
            _print(f"{n}. {hit['score']:.3f}  {hit['title']}  ({hit['document_id']})")
            _print("   " + " ".join(hit["text"].split())[:240])
        _warn(answer)

    with_client(url, run)


def ask(question: str, url: Url = None) -> None:
    """Ask a question."""

    async def run(client: AsyncClient) -> None:
        answer = await client.chat(question)
        _print(answer["answer"])
        for citation in answer["citations"]:
            place = f"{citation['document_id']}, characters {citation['start']}-{citation['end']}"
            _print(f"[{citation['n']}] {citation['title']} ({place})")
        _warn(answer)

    with_client(url, run)


def status(url: Url = None) -> None:
    """Tell what the service holds and is made of."""

    async def run(client: AsyncClient) -> None:
        table = Table("what", "value")
        for key, value in (await client.status()).items():
            table.add_row(key, ", ".join(f"{k}: {v}" for k, v in value.items()) if isinstance(value, dict) else str(value))
        out.print(table)

    with_client(url, run)


def verify(
    repair: Annotated[bool, typer.Option(help="Mend what differs.")] = False,
    all_tenants: Annotated[bool, typer.Option(help="Every tenant, not only that of the key.")] = False,
    url: Url = None,
) -> None:
    """Compare SQL and Milvus; exit status 0 exactly when they agree."""

    async def run(client: AsyncClient) -> None:
        report = await client.verify(repair=repair, all_tenants=all_tenants)
        table = Table("collection", "expected", "found", "missing", "orphaned", "repaired")
        for row in report["collections"]:
            table.add_row(
                *(str(row[name]) for name in ("collection", "expected", "found", "missing", "orphaned", "repaired"))
            )
        out.print(table)
        out.print("SQL and Milvus agree" if report["agrees"] else "SQL and Milvus differ")
        if not report["agrees"]:
            raise typer.Exit(1)

    with_client(url, run)


def _print(text: str) -> None:
    out.print(text, markup=False, highlight=False, soft_wrap=True)


def _warn(answer: dict[str, Any]) -> None:
    for item in answer["degraded"]:
        err.print(f"degraded: {item['component']} ({item['reason']})", markup=False)


def with_client(url: str | None, run: Callable[[AsyncClient], Awaitable[None]], *, reindexing: bool = False) -> None:
    """Run a command with a client; ``reindexing`` opens a service although what is live cannot be searched here."""

    async def call() -> None:
        async with _client(url, reindexing=reindexing) as client:
            await run(client)

    run_to_end(call())


@asynccontextmanager
async def _client(url: str | None, *, reindexing: bool) -> AsyncIterator[AsyncClient]:
    """Open a client of the named service, of the one running on the data directory, or of one in this process."""
    settings, key = load_settings(), os.environ.get(KEY_VARIABLE)
    address = url or _running(settings)
    if address is not None:
        async with AsyncClient(address, key=key) as client:
            yield client
        return
    quiet = settings.logging.model_copy(update={"level": "error", "format": "console"})
    with logging_to_stderr(quiet):
        async with opened(settings, reindexing=reindexing) as opening:
            transport = httpx2.ASGITransport(app=create_app(settings, opening))
            async with AsyncClient("http://local", key=key, transport=transport) as client:
                yield client


def _running(settings: Settings) -> str | None:
    if not is_in_use(settings.data_dir):
        return None
    return (settings.data_dir / LOCK_FILE).read_text(encoding="utf-8").strip() or None
