"""kill -9 in the middle of ingestion: nothing acknowledged is lost, nothing is there twice, nothing is half visible.

And in the middle of building the index anew: it goes on where it stopped.
"""

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


def until_idle(client: Client) -> None:
    """Wait until no job is left."""
    give_up_at = time.monotonic() + 60
    while jobs := client.status()["jobs"]:
        assert time.monotonic() < give_up_at, jobs
        time.sleep(0.05)


def reindexing(client: Client, *, done: int) -> dict:
    """Wait until a run has written so many chunks, or has ended, and return it."""
    give_up_at = time.monotonic() + 60
    while True:
        run = client.reindexing()["run"]
        if run["done"] >= done or run["state"] != "running":
            return run
        assert time.monotonic() < give_up_at, run
        time.sleep(0.02)


def test_a_killed_reindexing_goes_on_where_it_stopped(data_dir):
    with running(data_dir) as service, Client(service.url) as client:
        client.ingest([{"id": f"d{n}", "text": f"Report {n} tells of voles."} for n in range(300)])
        client.reindex(kinds=["sparse"], batch_size=1)
        killed = reindexing(client, done=40)
        assert (killed["state"], killed["phase"]) == ("running", "building")
        service.process.kill()
    with running(data_dir) as service, Client(service.url) as client:
        again = client.reindexing()["run"]
        assert (again["id"], again["collections"]) == (killed["id"], ["sparse_g2"])
        assert again["done"] >= killed["done"]
        ended = reindexing(client, done=10_000)
        assert (ended["state"], ended["result"]["switched"]) == ("done", {"sparse": "sparse_g2"})
        assert ended["done"] <= 301  # at most the chunk that was in work is written twice
        report = client.verify()
        assert report["agrees"], report
        hits = client.retrieve("Report 17 tells of voles.", search_mode="sparse")["hits"]
        assert "d17" in [hit["document_id"] for hit in hits]
