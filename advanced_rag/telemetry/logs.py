"""Structured logs: one JSON object a line, written by a thread of its own; never contents or secrets."""

import logging
import queue
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from logging.handlers import QueueHandler, QueueListener
from typing import Any

import structlog
from asgi_correlation_id import correlation_id

from advanced_rag.config import LoggingSettings
from advanced_rag.telemetry.tracing import trace_ids

_QUEUE_LINES = 10_000
_QUIET = (
    "pymilvus",
    "httpx2",
    "httpcore2",
    "openai",
    "sentence_transformers",
    "transformers",
    "alembic",
    "uvicorn.access",
    "uvicorn.error",  # it would log the whole address of a WebSocket, with what is secret in it
)

Logger = structlog.stdlib.BoundLogger


def get_logger(name: str) -> Logger:
    """Return the structured logger of a module."""
    logger: Logger = structlog.stdlib.get_logger(name)
    return logger


class _Handler(QueueHandler):
    """Hands records over with the context of the thread that logged them, and drops them when the queue is full."""

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        request_id = correlation_id.get()
        record.context = {**({"request_id": request_id} if request_id else {}), **trace_ids()}
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            self.queue.put_nowait(record)
        except queue.Full:
            return


def _merge_context(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    record = event.get("_record")
    return {**getattr(record, "context", {}), **event}


def _formatter(settings: LoggingSettings) -> logging.Formatter:
    shared: list[structlog.typing.Processor] = [
        _merge_context,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if settings.format == "json" else structlog.dev.ConsoleRenderer(colors=False)
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.ExtraAdder(allow=[])],
        processors=[*shared, structlog.processors.format_exc_info, renderer],
    )


@contextmanager
def logging_to_stderr(settings: LoggingSettings) -> Iterator[None]:
    """Send every log record of the process to standard error until the block ends."""
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    lines: queue.Queue[logging.LogRecord] = queue.Queue(_QUEUE_LINES)
    output = logging.StreamHandler(sys.stderr)
    output.setFormatter(_formatter(settings))
    listener = QueueListener(lines, output)
    root = logging.getLogger()
    root.handlers = [_Handler(lines)]
    root.setLevel(settings.level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.CRITICAL if name == "pymilvus" else logging.WARNING)
    listener.start()
    try:
        yield
    finally:
        listener.stop()
        root.handlers = []
