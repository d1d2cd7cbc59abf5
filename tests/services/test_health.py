"""Health: what answers, what does not, and what the process is doing."""

from advanced_rag import __version__
from advanced_rag.services.health import HealthService


def test_ready_when_every_dependency_answers(service):
    answer = service.get("/healthz/ready")
    assert (answer.status_code, answer.json()["status"]) == (200, "ready")
    assert set(answer.json()["components"]) == {"database", "vector_store", "encoder"}


def test_a_service_that_is_about_to_stop_is_not_ready(service):
    service.container.health.drain()
    answer = service.get("/healthz/ready")
    assert (answer.status_code, answer.json()["status"]) == (503, "draining")


def test_the_details_tell_version_breakers_and_queues(service):
    details = service.get("/healthz").json()
    assert details["version"] == __version__
    assert details["breakers"] == {
        "database": "closed",
        "semantic": "closed",
        "sparse": "closed",
        "domain": "closed",
        "rerank": "closed",
    }
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
