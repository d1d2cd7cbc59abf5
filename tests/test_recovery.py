"""kill -9 in the middle of ingestion: nothing acknowledged is lost, nothing is there twice, nothing is half visible."""

import signal
import threading
import time

import httpx2
import pytest

from advanced_rag.client import Client
from tests.support.service import RunningService, running

ROUNDS = 3


def ingest_until_killed(service: RunningService, prefix: str, kill_after: int) -> set[str]:
    acknowledged: set[str] = set()
    with Client(service.url) as client:
        for n in range(60):
            if n == kill_after:
                threading.Timer(0.01 * kill_after, service.process.send_signal, [signal.SIGKILL]).start()
            documents = [{"id": f"{prefix}-{n}-{k}", "text": f"Report {prefix} {n} {k}. " * 60} for k in range(4)]
            try:
                answer = client.ingest(documents)
            except httpx2.TransportError:
                return acknowledged
            acknowledged |= {item["id"] for item in answer["documents"] if item["status"] == "created"}
    pytest.fail("the service was not killed in time")


def until_idle(client: Client, limit_s: float = 30) -> None:
    """Wait until what the killed ones left is done."""
    give_up_at = time.monotonic() + limit_s
    while client.status()["jobs"]:
        assert time.monotonic() < give_up_at, client.status()["jobs"]
        time.sleep(0.1)


def test_a_killed_service_keeps_every_acknowledged_document_exactly_once(data_dir):
    acknowledged: set[str] = set()
    for n in range(ROUNDS):
        with running(data_dir) as service:
            acknowledged |= ingest_until_killed(service, f"round{n}", kill_after=3 + 4 * n)
    with running(data_dir) as service, Client(service.url) as client:
        until_idle(client)
        report = client.verify()
        assert report["agrees"], report
        for document_id in acknowledged:
            assert client.document(document_id)["version"] == 1
        assert client.status()["jobs"] == {}
