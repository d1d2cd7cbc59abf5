"""More than can be answered is turned away at once; impatient and vanished clients cost nothing further."""

import asyncio
import http.client
import threading
from urllib.parse import urlsplit

import orjson
import pytest

from advanced_rag.config import AdmissionSettings
from tests.support.live import LiveService
from tests.support.service import running

QUERY = ("POST", "/v1/retrieve", {"query": "anything"})


def test_what_is_beyond_the_limit_is_refused_and_health_still_answers(data_dir):
    with LiveService(data_dir, admission=AdmissionSettings(retrieve=2)) as service:
        answers = service.together([QUERY] * 12 + [("GET", "/healthz/live", None)] * 3)
        *retrieved, first, second, third = answers
        refused = [answer for answer in retrieved if answer.status_code == 503]
        assert {answer.status_code for answer in retrieved} == {200, 503}
        assert {answer.json()["error"]["code"] for answer in refused} == {"overloaded"}
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
        assert [first.status_code, second.status_code, third.status_code] == [200, 200, 200]
        assert service.post("/v1/retrieve", query="again").status_code == 200


def test_one_kind_of_work_takes_no_room_from_another(data_dir):
    with LiveService(data_dir, admission=AdmissionSettings(retrieve=1)) as service:
        answers = service.together([QUERY] * 6 + [("GET", "/v1/documents", None)] * 6)
        assert {answer.status_code for answer in answers[6:]} == {200}


def test_a_caller_says_how_long_it_waits(service):
    answer = service.request("POST", "/v1/retrieve", json={"query": "x"}, headers={"X-Request-Timeout": "0.000001"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "deadline_exceeded")
    assert service.post("/v1/retrieve", query="x").json()["degraded"] == []


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "soon"])
def test_a_time_to_wait_is_a_positive_number(service, value):
    answer = service.request("POST", "/v1/retrieve", json={"query": "x"}, headers={"X-Request-Timeout": value})
    assert answer.status_code == 422
    assert answer.json()["error"]["field_errors"][0]["field"] == "X-Request-Timeout"


def test_impatient_callers_do_not_open_the_circuit_breaker(service):
    for _ in range(30):
        service.request("POST", "/v1/retrieve", json={"query": "x"}, headers={"X-Request-Timeout": "0.0001"})
    assert service.post("/v1/retrieve", query="x").json()["degraded"] == []


def test_the_work_for_a_client_that_hung_up_is_cancelled(data_dir):
    started, ended = asyncio.Event(), []

    async def slow(*_args: object) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    with LiveService(data_dir) as service:
        service.container.retrieve.retrieve = slow

        async def hang_up() -> None:
            request = asyncio.create_task(service.call_and_hang_up("/v1/retrieve", {"query": "x"}, after=started))
            await asyncio.wait_for(request, 10)

        service.run(hang_up())
    assert ended == ["cancelled"]


def test_a_service_whose_clients_keep_hanging_up_goes_on(data_dir):
    with running(data_dir) as live:
        place = urlsplit(live.url).netloc

        def hang_up() -> None:
            connection = http.client.HTTPConnection(place, timeout=10)
            connection.request("POST", "/v1/retrieve", orjson.dumps({"query": "x"}), {"content-type": "application/json"})
            connection.close()

        threads = [threading.Thread(target=hang_up) for _ in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        connection = http.client.HTTPConnection(place, timeout=10)
        connection.request("POST", "/v1/retrieve", orjson.dumps({"query": "y"}), {"content-type": "application/json"})
        assert connection.getresponse().status == 200
        connection.close()
