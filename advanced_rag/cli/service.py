"""Commands that are calls of the API: of a running service, or of one opened for the command.

Where identities are required, the key is taken from the environment variable ``ADVANCED_RAG_KEY``.
"""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Annotated

import httpx2
import typer

from advanced_rag.api.app import create_app
from advanced_rag.cli.terminal import opened, run_to_end
from advanced_rag.client import AsyncClient
from advanced_rag.config import Settings
from advanced_rag.environment import load_settings
from advanced_rag.opening import LOCK_FILE, is_in_use
from advanced_rag.telemetry.logs import logging_to_stderr

KEY_VARIABLE = "ADVANCED_RAG_KEY"

Url = Annotated[str | None, typer.Option(help="A running service; by default the one on this data directory.")]


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
