"""What every command needs: the terminal, and a loop."""

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any

import uvloop
from rich.console import Console

out = Console()
err = Console(stderr=True, soft_wrap=True)


def run_to_end(work: Coroutine[Any, Any, None]) -> None:
    """Run a command; Ctrl-C ends it with exit status 130."""
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(work)
    except KeyboardInterrupt:
        sys.exit(130)


def announce(message: str) -> None:
    """Tell the user what happens, beside the output."""
    err.print(f"advanced-rag: {message}", markup=False, highlight=False)
