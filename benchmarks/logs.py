"""What a log line costs the thread that writes it: the rest is done by a thread of its own."""

import contextlib
import os
import time
from pathlib import Path

from advanced_rag.config import LoggingSettings
from advanced_rag.telemetry.logs import get_logger, logging_to_stderr

_LINES, _PAUSE_S = 200, 0.02  # in bursts, as requests come: without pauses the two threads fight for the interpreter
_ROUNDS = 20


def log_call_us() -> float:
    """Return the median time of one call, in microseconds, as the service is shipped."""
    log, times = get_logger("benchmarks"), []
    with (
        Path(os.devnull).open("w", encoding="utf-8") as nowhere,
        contextlib.redirect_stderr(nowhere),
        logging_to_stderr(LoggingSettings()),
    ):
        for _ in range(_ROUNDS):
            for number in range(_LINES):
                started = time.perf_counter()
                log.info("request", endpoint="retrieve", method="POST", status=200, tenant="t", duration_ms=number)
                times.append(time.perf_counter() - started)
            time.sleep(_PAUSE_S)
    return sorted(times)[len(times) // 2] * 1e6
