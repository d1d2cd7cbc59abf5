"""A Milvus on a port of its own, as a process apart: the program of Milvus Lite, spoken to like any server."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import psutil

from tests.support.service import free_port, is_listening

_START_S = 20


class MilvusServer:
    """A server that can be killed, frozen and brought back on the same data."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        library = Path(find_spec("milvus_lite").submodule_search_locations[0]) / "lib"
        command = [library / "milvus", self._folder / "server.db", f"127.0.0.1:{self.port}", "ERROR"]
        environment = {**os.environ, "LD_LIBRARY_PATH": str(library)}
        self._process = subprocess.Popen(command, cwd=self._folder, env=environment, stderr=subprocess.DEVNULL)
        give_up_at = time.monotonic() + _START_S
        while not is_listening(self.port):
            assert time.monotonic() < give_up_at, "Milvus did not start"
            time.sleep(0.05)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Let connections stay open and nothing answer."""
        process = psutil.Process(self._process.pid)
        process.suspend()
        try:
            yield
        finally:
            process.resume()


@contextmanager
def running_milvus(folder: Path) -> Iterator[MilvusServer]:
    """Start a server on an empty folder, and kill it when the block ends."""
    server = MilvusServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.kill()
