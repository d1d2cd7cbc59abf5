"""A whole Milvus server instead of Milvus Lite: what is written is found, and a crash of it is survived."""

import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from pymilvus import MilvusClient
from pymilvus.exceptions import MilvusException

from advanced_rag.config import AuthSettings, FeatureSettings, MilvusSettings
from advanced_rag.exceptions import StartupError
from tests.support.live import LiveService
from tests.support.proxy import FaultProxy
from tests.support.service import INGEST, free_port

milvus = pytest.importorskip("milvus", reason="make chaos installs it")

pytestmark = [pytest.mark.chaos, pytest.mark.filterwarnings("default")]

RECOVERED_S = 5.0
SERVER_RECOVERS_S = 240  # by itself, after a crash: it waits for the sessions of the dead process to run out


class Server:
    """A Milvus that can be killed and started again on its data; it takes another port each time: hence the proxy."""

    def __init__(self, folder: Path, proxy: FaultProxy) -> None:
        self._folder = folder
        self._proxy = proxy
        self.url = f"http://127.0.0.1:{proxy.port}"
        self.start()

    def start(self) -> None:
        self._server = milvus.MilvusServer(proxy_port=free_port())
        self._server.set_base_dir(str(self._folder))
        self._server.start()
        self._proxy.target = self._server.listen_port

    def kill(self) -> None:
        self._server.server_proc.kill()
        self._server.server_proc.wait(10)
        self._server.stop()

    def until_it_answers(self, collection: str) -> None:
        """Ask it directly, until it searches again."""
        give_up_at = time.monotonic() + SERVER_RECOVERS_S
        while not self._answers(collection):
            assert time.monotonic() < give_up_at, "the server itself did not recover"
            time.sleep(0.2)

    def _answers(self, collection: str) -> bool:
        try:
            client = MilvusClient(self.url, timeout=2)
            return bool(client.query(collection, filter="", output_fields=["count(*)"], timeout=2))
        except (MilvusException, grpc.RpcError):  # a time limit arrives as it is
            return False


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with FaultProxy(free_port()) as proxy:
        running = Server(tmp_path_factory.mktemp("milvus"), proxy)
        yield running
        running.kill()


def service_on(server: Server, data_dir: Path, prefix: str, **features: bool) -> LiveService:
    milvus = MilvusSettings(uri=server.url, collection_prefix=prefix)
    return LiveService(data_dir, milvus=milvus, features=FeatureSettings(**features))


def found(service: LiveService, **options: object) -> list[str] | int:
    answer = service.post("/v1/retrieve", query="Where do kingfishers nest?", **options)
    return [hit["document_id"] for hit in answer.json()["hits"]] if answer.is_success else answer.status_code


def test_documents_are_found_filtered_replaced_and_deleted(server, data_dir):
    with service_on(server, data_dir, "life_", sparse=False) as service:
        birds = [
            {"id": str(n), "text": f"Kingfishers nest in tunnels. {n}", "metadata": {"year": n}} for n in range(2020, 2026)
        ]
        assert service.post(INGEST, documents=birds).is_success
        assert sorted(found(service, filters={"year": {"$gte": 2023}})) == ["2023", "2024", "2025"]
        assert found(service, filters={"$not": {"year": {"$in": [2020, 2021, 2022, 2024, 2025]}}}) == ["2023"]
        service.post(
            INGEST,
            documents=[{"id": "2023", "text": "Herrings swim in the sea.", "metadata": {"year": 2023}}],
        )
        service.request("DELETE", "/v1/documents/2024")
        assert sorted(found(service, filters={"year": {"$gte": 2022}})) == ["2022", "2023", "2025"]
        assert service.post("/v1/index/verify").json()["agrees"]


def test_access_lists_hide_and_show_and_what_is_forgotten_is_gone(server, data_dir):
    milvus = MilvusSettings(uri=server.url, collection_prefix="rights_")
    settings = {"auth": AuthSettings(mode="required"), "features": FeatureSettings(sparse=False)}
    with LiveService(data_dir, milvus=milvus, **settings) as service:
        ann, ben = (service.key(role="admin", user_id=name, groups=(f"{name}s",)) for name in ("ann", "ben"))
        everyone = {"visibility": "tenant"}
        for key, access in {"all": everyone, "hers": {"visibility": "private"}, "his": _for_group("bens")}.items():
            document = {"id": key, "text": f"Kingfishers nest in tunnels. {key}", "access": access}
            service.request("POST", INGEST, headers=ann, json={"documents": [document]})
        assert (_seen(service, ann), _seen(service, ben)) == (["all", "hers", "his"], ["all", "his"])
        service.request("PUT", "/v1/documents/hers/access", headers=ann, json=_for_group("bens"))
        assert _seen(service, ben) == ["all", "hers", "his"]
        receipt = service.request("POST", "/v1/forget", headers=ann, json={"kind": "document", "target": "all"}).json()
        assert set(receipt["left"].values()) == {0}, receipt["left"]
        assert _seen(service, ben) == ["hers", "his"]


def _for_group(name: str) -> dict[str, object]:
    return {"visibility": "group", "groups": [name]}


def _seen(service: LiveService, who: dict[str, str]) -> list[str]:
    answer = service.request("POST", "/v1/retrieve", headers=who, json={"query": "Where do kingfishers nest?"})
    return sorted(hit["document_id"] for hit in answer.json()["hits"])


def test_a_server_without_bm25_is_named_as_such(server, data_dir):
    with pytest.raises(StartupError, match=r"features\.sparse"), service_on(server, data_dir, "old_"):
        pass


def test_after_a_crash_the_service_is_good_within_seconds_of_the_server(server, data_dir):
    with service_on(server, data_dir, "crash_", sparse=False) as service:
        assert service.post(INGEST, documents=[{"id": "crash", "text": "Kingfishers nest in tunnels."}]).is_success
        collection = service.get("/v1/status").json()["collections"]["semantic"]
        server.kill()
        assert [found(service) for _ in range(20)] == [503] * 20
        assert service.get("/healthz/live").status_code == 200
        server.start()
        server.until_it_answers(f"crash_{collection}")
        give_up_at = time.monotonic() + RECOVERED_S
        while found(service) == 503:
            assert time.monotonic() < give_up_at, "the service did not recover"
            time.sleep(0.1)
        assert "crash" in found(service)
        assert service.post("/v1/index/verify").json()["agrees"]
