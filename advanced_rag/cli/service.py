"""Commands that are calls of the API: of a running service, or of one opened for the command.

Where identities are required, the key is taken from the environment variable ``ADVANCED_RAG_KEY``.
"""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Annotated

import typer

from advanced_rag.cli.terminal import run_to_end
from advanced_rag.client import AsyncClient
from advanced_rag.data_directory import address
from advanced_rag.environment import load_settings

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
    served = url or address(settings.data_dir)
    if served is not None:
        async with AsyncClient(served, key=key) as client:
            yield client
        return
    from advanced_rag.cli.here import serving  # noqa: PLC0415 - takes seconds, which a running service saves

    async with (
        serving(settings, reindexing=reindexing) as transport,
        AsyncClient("http://local", key=key, transport=transport) as client,
    ):
        yield client
