"""In whatever order things start: the service lives, says that it is not ready, and becomes ready by itself."""

import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

from advanced_rag.client import Client
from tests.conftest import make_data_dir, make_database
from tests.support.milvus import MilvusServer
from tests.support.postgres import Postgres, running_postgres
from tests.support.service import RunningService, running


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    """A server of this module's own: it is stopped."""
    with running_postgres() as server:
        yield server


@pytest.fixture
def milvus(tmp_path: Path) -> Iterator[MilvusServer]:
    """A server that was never started."""
    server = MilvusServer(tmp_path)
    yield server
    server.kill()


def status(service: RunningService, path: str) -> tuple[int, str]:
    answer = httpx2.get(f"{service.url}{path}", timeout=10)
    return answer.status_code, answer.json()["status"]


def until_ready(service: RunningService, limit_s: float) -> None:
    give_up_at = time.monotonic() + limit_s
    while status(service, "/healthz/ready")[0] != 200:
        assert time.monotonic() < give_up_at, "not ready in time"
        time.sleep(0.2)


def test_what_is_down_at_start_is_waited_for(data_dir, postgres, milvus):
    environment = {"RAG_DATABASE__URL": make_database(postgres.url), "RAG_MILVUS__URI": milvus.url}
    postgres.stop()
    with running(data_dir, **environment, RAG_MILVUS__WRITE_TIMEOUT_S="2") as service:
        assert status(service, "/healthz/live") == (200, "alive")
        assert status(service, "/healthz/ready") == (503, "starting")
        assert status(service, "/healthz") == (503, "starting")
        refused = httpx2.post(f"{service.url}/v1/retrieve", json={"query": "x"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "starting")
        assert int(refused.headers["retry-after"]) >= 1
        postgres.start()
        milvus.start()
        until_ready(service, 30)
        with Client(service.url) as client:
            assert client.ingest([{"id": "birds", "text": "Kingfishers nest."}])["documents"][0]["status"] == "created"
            assert client.retrieve("kingfishers")["hits"]


def test_a_service_that_waits_ends_when_it_is_told_to(data_dir):
    with running(data_dir, RAG_DATABASE__URL="postgresql://me@127.0.0.1:1/rag") as service:
        assert status(service, "/healthz/ready") == (503, "starting")
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(20) == 0


def test_replicas_that_start_at_once_on_nothing_share_what_they_make(tmp_path, prepared_encoders, postgres, milvus):
    milvus.start()
    environment = {"RAG_DATABASE__URL": make_database(postgres.url), "RAG_MILVUS__URI": milvus.url}
    folders = [make_data_dir(tmp_path / name, prepared_encoders) for name in "abc"]

    def ready(folder: Path) -> str:
        with running(folder, **environment) as service:
            until_ready(service, 30)
            with Client(service.url) as client:
                return client.ingest([{"id": folder.name, "text": "Kingfishers nest."}])["documents"][0]["status"]

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(ready, folders)) == ["created"] * 3
