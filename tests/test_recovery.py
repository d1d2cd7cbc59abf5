"""kill -9 in the middle of ingestion: nothing acknowledged is lost, nothing is there twice, nothing is half visible."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from advanced_rag.client import Client

ROUNDS = 3


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(data_dir: Path, port: int) -> Iterator[subprocess.Popen]:
    environment = {
        **os.environ,
        "RAG_DATA_DIR": str(data_dir),
        "RAG_SERVER__PORT": str(port),
        "RAG_EXAMPLES__INGEST": "false",
    }
    command = [Path(sys.executable).with_name("advanced-rag"), "serve"]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    ready = any("serving on" in line for line in process.stderr)
    assert ready, "the service did not start"
    try:
        drain = threading.Thread(target=process.stderr.read)
        drain.start()
        yield process
    finally:
        process.kill()
        process.wait()
        drain.join()
        process.stderr.close()


def ingest_until_killed(process: subprocess.Popen, url: str, prefix: str, kill_after: int) -> set[str]:
    acknowledged: set[str] = set()
    with Client(url) as client:
        for n in range(60):
            if n == kill_after:
                threading.Timer(0.01 * kill_after, process.send_signal, [signal.SIGKILL]).start()
            documents = [{"id": f"{prefix}-{n}-{k}", "text": f"Report {prefix} {n} {k}. " * 60} for k in range(4)]
            try:
                answer = client.ingest(documents)
            except httpx2.TransportError:
                return acknowledged
            acknowledged |= {item["id"] for item in answer["documents"] if item["status"] == "created"}
    pytest.fail("the service was not killed in time")


def test_a_killed_service_keeps_every_acknowledged_document_exactly_once(tmp_path):
    port, acknowledged = free_port(), set()
    url = f"http://127.0.0.1:{port}"
    for n in range(ROUNDS):
        with running(tmp_path, port) as process:
            acknowledged |= ingest_until_killed(process, url, f"round{n}", kill_after=3 + 4 * n)
    with running(tmp_path, port), Client(url) as client:
        report = client.verify()
        assert report["agrees"], report
        for document_id in acknowledged:
            assert client.document(document_id)["version"] == 1
        assert client.status()["jobs"] == {}
