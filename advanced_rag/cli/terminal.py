"""What every command needs: the terminal, a loop, an open service."""

import asyncio
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import uvloop
from rich.console import Console

from advanced_rag.config import Settings
from advanced_rag.opening import Opening

out = Console()
err = Console(stderr=True, soft_wrap=True)


def run_to_end(work: Coroutine[Any, Any, None]) -> None:
    """Run a command; Ctrl-C ends it with exit status 130."""
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(work)
    except KeyboardInterrupt:
        sys.exit(130)


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


def announce(message: str) -> None:
    """Tell the user what happens, beside the output."""
    err.print(f"advanced-rag: {message}", markup=False, highlight=False)
