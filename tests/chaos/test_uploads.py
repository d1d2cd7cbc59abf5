"""kill -9 of services and workers while files are uploaded: every file becomes one document, once."""

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import httpx2
import pytest

from advanced_rag.client import ApiError, Client
from tests.conftest import make_data_dir, make_database
from tests.support.milvus import running_milvus
from tests.support.service import RunningService, running, working

pytestmark = pytest.mark.chaos

KILLS, FILES, BATCH = 50, 300, 3
LIMIT_S = 500.0


class Killed:
    """A process that is started again each time it was killed."""

    def __init__(self, start: Callable[[], AbstractContextManager]) -> None:
        self._start = start
        self._scope = start()
        self.live = self._scope.__enter__()

    @property
    def process(self):
        return self.live.process if isinstance(self.live, RunningService) else self.live

    def again(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.end()
        self._scope = self._start()
        self.live = self._scope.__enter__()

    def end(self) -> None:
        self._scope.__exit__(None, None, None)


@pytest.fixture
def environment(tmp_path: Path, postgres: str) -> Iterator[dict[str, str]]:
    folder = tmp_path / "milvus"
    folder.mkdir()
    with running_milvus(folder) as server:
        yield {
            "RAG_DATABASE__URL": make_database(postgres),
            "RAG_MILVUS__URI": server.url,
            "RAG_UPLOADS__FOLDER": str(tmp_path / "files"),
            "RAG_JOBS__LEASE_S": "4",
            "RAG_JOBS__INTERVAL_S": "0.2",
            "RAG_JOBS__MAX_RETAKES": "100",
        }


def upload(url: Callable[[], str], number: int, give_up_at: float) -> list[dict]:
    """Upload some files, until the service says that it took them."""
    files = [(f"{n}.txt", f"Report {n} lies on shelf {n}. ".encode() * 40) for n in range(number, number + BATCH)]
    while time.monotonic() < give_up_at:
        try:
            with Client(url()) as client:
                headers = {"Idempotency-Key": f"upload {number}"}
                parts = [("files", item) for item in files]
                answer = client._http.post("/v1/ingest", files=parts, headers=headers, timeout=20)
                if answer.status_code == 202:
                    return answer.json()["documents"]
        except httpx2.TransportError:
            time.sleep(0.2)
    pytest.fail("the service took no more files")


def until_ended(client: Client, job_ids: list[str], give_up_at: float) -> list[dict]:
    jobs = []
    for job_id in job_ids:
        while (job := client.job(job_id))["status"] in {"queued", "running"}:
            assert time.monotonic() < give_up_at, job
            time.sleep(0.2)
        jobs.append(job)
    return jobs


def _age(folder: Path) -> None:
    """Let files be old enough for no request to need them any more."""
    for path in folder.glob("*/*"):
        os.utime(path, (path.stat().st_mtime - 7200,) * 2)


def test_every_file_becomes_one_document_whoever_is_killed(environment, tmp_path, prepared_encoders):
    choose = random.Random(5)
    give_up_at = time.monotonic() + LIMIT_S
    data_dir = make_data_dir(tmp_path / "data", prepared_encoders)
    service = Killed(lambda: running(data_dir, **environment))
    worker = Killed(lambda: working({**environment, "RAG_DATA_DIR": str(data_dir)}))
    taken: list[dict] = []

    def send() -> None:
        for number in range(0, FILES, BATCH):
            taken.extend(upload(lambda: service.live.url, number, give_up_at))
            time.sleep(choose.uniform(0.0, LIMIT_S / FILES))

    sender = threading.Thread(target=send)
    sender.start()
    try:
        for _ in range(KILLS):
            time.sleep(choose.uniform(0.0, 1.5))
            choose.choice([service, worker]).again()
        sender.join(max(0.0, give_up_at - time.monotonic()))
        with Client(service.live.url) as client:
            jobs = until_ended(client, [item["job_id"] for item in taken], give_up_at)
            assert len(jobs) == FILES
            assert {(job["status"], job["version"]) for job in jobs} == {("ready", 1)}
            assert client.status()["documents"] == FILES
            assert client.verify()["agrees"]
        _age(tmp_path / "files")
        service.again()
        while list((tmp_path / "files").glob("*/*")):
            assert time.monotonic() < give_up_at, "files that a crash left are not swept"
            time.sleep(0.2)
    except ApiError as error:
        pytest.fail(str(error))
    finally:
        service.end()
        worker.end()
