"""Workers beside services: what is uploaded here is finished there, once, whoever is killed meanwhile."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from advanced_rag.client import Client
from tests.conftest import make_data_dir, make_database
from tests.support.milvus import running_milvus
from tests.support.service import COMMAND, running, working

FILES = 30


@pytest.fixture
def environment(tmp_path: Path, postgres: str, prepared_encoders: Path) -> Iterator[dict[str, str]]:
    folder = tmp_path / "milvus"
    folder.mkdir()
    with running_milvus(folder) as server:
        yield {
            "RAG_DATABASE__URL": make_database(postgres),
            "RAG_MILVUS__URI": server.url,
            "RAG_UPLOADS__FOLDER": str(tmp_path / "shared files"),
            "RAG_JOBS__EMBEDDED": "false",
            "RAG_JOBS__LEASE_S": "4",
            "RAG_JOBS__INTERVAL_S": "0.2",
        }


def upload(client: Client, count: int) -> list[dict]:
    taken = []
    for start in range(0, count, 10):
        files = [(f"{n}.txt", f"Report number {n} is on shelf {n}.".encode()) for n in range(start, start + 10)]
        taken += client.upload(files)["documents"]
    return taken


def until_ended(client: Client, taken: list[dict], limit_s: float = 30) -> list[dict]:
    give_up_at = time.monotonic() + limit_s
    while True:
        jobs = [client.job(item["job_id"]) for item in taken]
        if all(job["status"] not in {"queued", "running"} for job in jobs):
            return jobs
        assert time.monotonic() < give_up_at, [job for job in jobs if job["status"] in {"queued", "running"}]
        time.sleep(0.3)


def test_workers_finish_what_a_service_takes_in_although_one_is_killed_and_one_is_stopped(
    environment, tmp_path, prepared_encoders
):
    data_dir = make_data_dir(tmp_path / "data", prepared_encoders)
    with running(data_dir, **environment) as service, Client(service.url) as client:
        own = {**environment, "RAG_DATA_DIR": str(data_dir)}
        with working(own) as doomed, working(own) as stopped:
            taken = upload(client, FILES)
            doomed.send_signal(signal.SIGKILL)
            stopped.send_signal(signal.SIGTERM)
            assert stopped.wait(20) == 0
        with working(own):
            jobs = until_ended(client, taken)
        assert {job["status"] for job in jobs} == {"ready"}
        assert client.status()["documents"] == FILES
        assert client.verify()["agrees"]


def test_what_happens_at_a_worker_is_heard_at_every_service(environment, tmp_path, prepared_encoders):
    data_dir = make_data_dir(tmp_path / "data", prepared_encoders)
    with running(data_dir, **environment) as service, Client(service.url) as client:
        (taken,) = client.upload([("a.txt", b"Heard everywhere.")])["documents"]
        with (
            working({**environment, "RAG_DATA_DIR": str(data_dir)}),
            httpx2.stream("GET", f"{service.url}{taken['events_url']}", timeout=30) as events,
        ):
            told = [line for line in events.iter_lines() if line.startswith("data:")]
        assert '"status":"ready"' in told[-1]


def test_a_worker_needs_servers_it_can_share(data_dir):
    answer = subprocess.run(
        [COMMAND, "worker"], env={**os.environ, "RAG_DATA_DIR": str(data_dir)}, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 1
    assert "PostgreSQL" in answer.stderr
