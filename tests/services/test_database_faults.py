"""PostgreSQL stops, freezes, restarts or runs short of connections: honest answers meanwhile, good ones after it."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from pydantic import SecretStr
from sqlalchemy import create_engine, text

from advanced_rag.config import AdmissionSettings, DatabaseSettings
from tests.conftest import make_database
from tests.support.live import LiveService
from tests.support.postgres import Postgres, running_postgres
from tests.support.service import INGEST

QUERY = ("POST", "/v1/retrieve", {"query": "Where do kingfishers nest?"})


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A server of this module's own: it is broken again and again."""
    with running_postgres() as running:
        yield running


@contextmanager
def service_on(server: Postgres, data_dir: Path, **settings: float) -> Iterator[LiveService]:
    database = DatabaseSettings(url=SecretStr(make_database(server.url)), **settings)
    with LiveService(data_dir, database=database, admission=AdmissionSettings(retrieve=200)) as live:
        assert live.post(INGEST, documents=[{"id": "birds", "text": "Kingfishers nest in tunnels."}]).is_success
        yield live


def found(service: LiveService) -> tuple[int, list[str]]:
    answer = service.request(*QUERY[:2], json=QUERY[2])
    return answer.status_code, [hit["document_id"] for hit in answer.json().get("hits", [])]


async def until_good(service: LiveService) -> None:
    """Ask until the answer is good; the breaker tries again every two seconds."""
    async with asyncio.timeout(10):
        while (await service.gather([QUERY]))[0].status_code != 200:  # noqa: ASYNC110 - nothing tells when a breaker closes
            await asyncio.sleep(0.1)


def test_while_it_is_stopped_requests_are_refused_and_afterwards_answered(server, data_dir):
    with service_on(server, data_dir) as service:
        server.stop()
        answers = service.together([QUERY] * 20)
        assert {answer.status_code for answer in answers} == {503}
        assert {answer.json()["error"]["code"] for answer in answers} <= {"database_unavailable", "circuit_open"}
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in answers)
        assert service.get("/healthz/ready").json()["components"]["database"]["ok"] is False
        assert service.get("/healthz/live").status_code == 200
        server.start()
        service.run(until_good(service))
        assert found(service) == (200, ["birds"])


def test_a_restart_between_two_requests_is_not_noticed(server, data_dir):
    with service_on(server, data_dir) as service:
        server.stop()
        server.start()
        assert found(service) == (200, ["birds"])
        assert service.post(INGEST, documents=[{"id": "fish", "text": "Herrings swim."}]).is_success


def test_while_it_is_frozen_nobody_waits_longer_than_the_time_limit(server, data_dir):
    with service_on(server, data_dir, timeout_s=0.3, pool_size=2, pool_max_overflow=0, pool_wait_s=0.1) as service:
        with server.frozen():
            codes = [answer.json()["error"]["code"] for answer in service.together([QUERY] * 12)]
            assert set(codes) <= {"dependency_timeout", "database_busy", "circuit_open"}
            assert "dependency_timeout" in codes
            answer = service.post("/v1/chat", message="Where?", session_id="unknown")
            assert (answer.status_code, "retry-after" in answer.headers) == (503, True)
        service.run(until_good(service))
        assert found(service) == (200, ["birds"])


def test_a_caller_in_a_hurry_is_not_kept_by_a_frozen_database(server, data_dir):
    with service_on(server, data_dir) as service, server.frozen():
        for path in ("/v1/documents", "/v1/sessions", "/v1/documents/birds"):
            answer = service.request("GET", path, headers={"X-Request-Timeout": "0.05"})
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "deadline_exceeded"), path


def test_a_hundred_requests_share_five_connections(server, data_dir):
    opened, taken = counters()
    with service_on(server, data_dir, pool_size=5, pool_max_overflow=0, pool_wait_s=10) as service:
        lists = service.together([("GET", "/v1/documents", None)] * 100)
        assert {answer.status_code for answer in [*lists, *service.together([QUERY] * 100)]} == {200}
    opened_now, taken_now = counters()
    assert opened_now - opened <= 5
    assert (opened_now - opened) / (taken_now - taken) <= 0.1


def counters() -> tuple[float, float]:
    names = ("rag_db_pool_connections_opened_total", "rag_db_pool_checkouts_total")
    opened, taken = (REGISTRY.get_sample_value(name) or 0 for name in names)
    return opened, taken


def test_when_every_connection_is_taken_the_rest_are_told_to_come_back(server, data_dir):
    with service_on(server, data_dir, pool_size=1, pool_max_overflow=0, pool_wait_s=0.5) as service:
        url = service.container.settings.database_url
        other = create_engine(url)
        with other.begin() as connection:
            connection.execute(text("LOCK TABLE documents IN ACCESS EXCLUSIVE MODE"))
            held = asyncio.ensure_future(service.gather([("GET", "/v1/documents", None)]), loop=service.loop)

            async def refused() -> None:
                await asyncio.sleep(0)
                (answer,) = await service.gather([("GET", "/v1/documents", None)])
                assert (answer.status_code, answer.json()["error"]["code"]) == (503, "database_busy")
                assert int(answer.headers["retry-after"]) >= 1

            service.run(refused())
        (answer,) = service.run(asyncio.wait_for(held, 10))
        assert answer.status_code == 200
        other.dispose()


def test_changes_that_stand_in_each_others_way_are_both_made(server, data_dir):
    with service_on(server, data_dir) as service:
        sql, meeting, tries = service.container.database, threading.Barrier(2), []
        service.run(
            sql.write_across(
                lambda t: t.connection.execute(
                    text("CREATE TABLE pair AS SELECT n, 0 AS value FROM generate_series(1, 2) n")
                )
            )
        )

        def change(connection, order):
            for position, number in enumerate(order):
                connection.execute(text("UPDATE pair SET value = value + 1 WHERE n = :n"), {"n": number})
                if position == 0 and len(tries) < 2:
                    tries.append(order)
                    meeting.wait(10)

        async def both() -> None:
            await asyncio.gather(
                *(sql.write_across(lambda t, order=order: change(t.connection, order)) for order in ((1, 2), (2, 1)))
            )

        service.run(both())
        values = service.run(sql.read_across(lambda t: t.connection.scalars(text("SELECT value FROM pair")).all()))
        assert values == [2, 2]
