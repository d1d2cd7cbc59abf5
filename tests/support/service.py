"""The service as its users run it: a process of its own, on a data directory of its own."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson

INGEST = "/v1/ingest?wait=true"  # answered when the documents can be found
COMMAND = Path(sys.executable).with_name("advanced-rag")


@dataclass(frozen=True, slots=True)
class RunningService:
    """A service that is ready; ``start_s`` is the time it took from its command, ``log`` the last lines it wrote."""

    process: "subprocess.Popen[str]"
    url: str
    start_s: float
    log: deque[str]

    def faults(self) -> str:
        """Return what the service logged of its own faults: the text of their tracebacks."""
        lines = (orjson.loads(line) for line in self.log if "unexpected_error" in line)
        return "\n\n".join(line.get("exception", "") for line in lines)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def running(data_dir: Path, **environment: str) -> Iterator[RunningService]:
    """Start the service without examples, and kill it when the block ends, unless it has ended by then."""
    port = free_port()
    own = {"RAG_DATA_DIR": str(data_dir), "RAG_SERVER__PORT": str(port), "RAG_EXAMPLES__INGEST": "false"}
    started = time.perf_counter()
    process = subprocess.Popen(
        [COMMAND, "serve"], env={**os.environ, **own, **environment}, stderr=subprocess.PIPE, text=True
    )
    with process, process.stderr as lines:
        log: deque[str] = deque(maxlen=5000)
        drain = threading.Thread(target=log.extend, args=[lines])
        try:
            assert any("serving on" in line for line in lines), "the service did not start"
            drain.start()
            yield RunningService(process, f"http://127.0.0.1:{port}", time.perf_counter() - started, log)
        finally:
            process.kill()
            if drain.ident is not None:
                drain.join()


@contextmanager
def working(environment: dict[str, str]) -> Iterator["subprocess.Popen[str]"]:
    """Start a worker, and kill it when the block ends, unless it has ended by then."""
    process = subprocess.Popen([COMMAND, "worker"], env={**os.environ, **environment}, stderr=subprocess.PIPE, text=True)
    with process, process.stderr as lines:
        drain = threading.Thread(target=deque, args=[lines, 0])  # who does not read what it logs, holds it up
        try:
            assert any("working" in line for line in lines), "the worker did not start"
            drain.start()
            yield process
        finally:
            process.kill()
            if drain.ident is not None:
                drain.join()
