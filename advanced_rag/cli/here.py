"""A service, or all that is below one, opened in this process."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx2

from advanced_rag.api.app import create_app
from advanced_rag.cli.terminal import announce, err
from advanced_rag.config import Settings
from advanced_rag.opening import Opening
from advanced_rag.telemetry.logs import logging_to_stderr


@asynccontextmanager
async def opened(
    settings: Settings, *, waits: bool = False, is_alone: bool = True, reindexing: bool = False
) -> AsyncIterator[Opening]:
    """Open the container, telling on the terminal what takes long or is waited for."""
    async with AsyncExitStack() as stack:
        with err.status("starting") as progress:

            def tell(message: str) -> None:
                announce(message)
                progress.update(message)

            wanted = Opening(settings, tell, waits=waits, is_alone=is_alone, reindexing=reindexing)
            opening = await stack.enter_async_context(wanted)
        yield opening


@asynccontextmanager
async def serving(settings: Settings, *, reindexing: bool) -> AsyncIterator[httpx2.ASGITransport]:
    """Open a service that is reached without a network, and logs what goes wrong only."""
    quiet = settings.logging.model_copy(update={"level": "error", "format": "console"})
    with logging_to_stderr(quiet):
        async with opened(settings, reindexing=reindexing) as opening:
            yield httpx2.ASGITransport(app=create_app(settings, opening))
