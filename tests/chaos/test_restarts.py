"""Dependencies and replicas are stopped and started again under load."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import cycle
from pathlib import Path

import httpx2
import pytest

from advanced_rag.client import Client
from tests.conftest import make_data_dir, make_database
from tests.support.crowd import Crowd, crowd
from tests.support.milvus import MilvusServer, running_milvus
from tests.support.postgres import Postgres, running_postgres
from tests.support.service import RunningService, running

pytestmark = pytest.mark.chaos

RECOVERED_S = 5.0


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="module")
def milvus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusServer]:
    with running_milvus(tmp_path_factory.mktemp("milvus")) as server:
        yield server


@pytest.fixture
def environment(postgres: Postgres, milvus: MilvusServer) -> dict[str, str]:
    database = make_database(postgres.url)
    return {
        "RAG_DATABASE__URL": database,
        "RAG_MILVUS__URI": milvus.url,
        "RAG_MILVUS__COLLECTION_PREFIX": f"{database.rsplit('/', 1)[1][:12]}_",
    }


def wrong(seen: Crowd, start: float, end: float) -> list[tuple[str, int, str | None]]:
    return [
        (item.path, item.status, item.code) for item in seen.outcomes if start <= item.began <= end and item.status != 200
    ]


def everything_is_there(url: str, seen: Crowd) -> None:
    with Client(url) as client:
        assert [key for key in seen.acknowledged if not client.document(key)] == []
        report = client.verify(repair=True)
        assert [row for row in report["collections"] if row["missing"]] == []
        assert client.verify()["agrees"]


def test_postgres_restarted_again_and_again_fails_requests_only_while_it_is_down(data_dir, postgres, environment):
    outages = []
    with running(data_dir, **environment) as service:
        with crowd(lambda: service.url) as seen:
            for _ in range(5):
                time.sleep(1)
                down = time.monotonic()
                postgres.stop()
                time.sleep(0.3)
                postgres.start()
                outages.append((down, time.monotonic() + RECOVERED_S))
                time.sleep(RECOVERED_S + 1)
        assert service.faults() == ""
        assert [item for item in seen.outcomes if not item.is_honest] == []
        failed = [item for item in seen.outcomes if item.status != 200]
        assert [item for item in failed if not any(down <= item.began + item.seconds <= up for down, up in outages)] == []
        everything_is_there(service.url, seen)


def test_a_milvus_that_was_killed_is_used_again_within_seconds(data_dir, milvus, environment):
    with running(data_dir, **environment) as service:
        with crowd(lambda: service.url) as seen:
            for _ in range(3):
                time.sleep(1)
                milvus.kill()
                time.sleep(2)
                milvus.start()
                up = time.monotonic()
                time.sleep(RECOVERED_S + 1)
                assert wrong(seen, up + RECOVERED_S, time.monotonic()) == []
            assert all(item.is_honest for item in seen.outcomes)
        everything_is_there(service.url, seen)


class Balancer:
    """Sends to the replicas whose last probe said ready, one after the other."""

    def __init__(self) -> None:
        self.replicas: list[str] = []
        self._ready: list[str] = []
        self._turns = cycle(range(1_000_000))
        self._stop = threading.Event()

    @contextmanager
    def probing(self) -> Iterator[None]:
        thread = threading.Thread(target=self._probe)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    def choose(self) -> str:
        ready = self._ready
        return ready[next(self._turns) % len(ready)]

    def until_ready(self, count: int) -> None:
        give_up_at = time.monotonic() + 60
        while len(self._ready) < count:
            assert time.monotonic() < give_up_at, "a replica did not become ready"
            time.sleep(0.05)

    def _probe(self) -> None:
        while not self._stop.wait(0.1):
            self._ready = [url for url in self.replicas if _is_ready(url)]


def _is_ready(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/healthz/ready", timeout=2).status_code == 200
    except httpx2.TransportError:
        return False


def test_a_rolling_restart_of_two_replicas_fails_no_request(tmp_path, prepared_encoders, environment):
    balancer = Balancer()
    with ExitStack() as stack:

        def start(name: str) -> RunningService:
            folder: Path = tmp_path / name
            data_dir = folder if folder.exists() else make_data_dir(folder, prepared_encoders)
            service = stack.enter_context(running(data_dir, **environment, RAG_SERVER__SHUTDOWN_DELAY_S="1"))
            balancer.replicas.append(service.url)
            return service

        replicas = {name: start(name) for name in "ab"}
        stack.enter_context(balancer.probing())
        balancer.until_ready(2)
        with crowd(balancer.choose) as seen:
            for name in "abab":
                time.sleep(1)
                replicas[name].process.send_signal(signal.SIGTERM)
                assert replicas[name].process.wait(40) == 0
                balancer.replicas.remove(replicas[name].url)
                replicas[name] = start(name)
                balancer.until_ready(2)
        assert len(seen.good()) > 100
        assert wrong(seen, 0, time.monotonic()) == []
        everything_is_there(replicas["a"].url, seen)
