"""A worker: takes jobs that services queued, and brings them to their end."""

import asyncio
import signal

from advanced_rag.cli.here import opened
from advanced_rag.cli.terminal import announce, run_to_end
from advanced_rag.config import Settings
from advanced_rag.environment import load_settings
from advanced_rag.exceptions import StartupError
from advanced_rag.telemetry import metrics
from advanced_rag.telemetry.logs import logging_to_stderr
from advanced_rag.telemetry.tracing import tracing


def worker() -> None:
    """Work on queued documents, beside services on PostgreSQL and a Milvus server; any number may run."""
    settings = load_settings()
    if settings.database.url is None or settings.milvus_is_embedded:
        raise StartupError(
            "a worker shares PostgreSQL and a Milvus server with others; the embedded service does its own work"
        )
    jobs = settings.jobs.model_copy(update={"embedded": True})
    own = settings.model_copy(update={"jobs": jobs, "examples": settings.examples.model_copy(update={"ingest": False})})
    run_to_end(_work(own))


async def _work(settings: Settings) -> None:
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    with logging_to_stderr(settings.logging), tracing(settings.tracing):
        async with opened(settings, waits=True, is_alone=False):
            if settings.jobs.metrics_port is not None:
                metrics.serve(settings.jobs.metrics_port)
            announce("working (Ctrl-C to stop)")
            await told.wait()
            announce("stopping: what is not done goes back to the queue")
