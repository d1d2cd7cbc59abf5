"""What happens to jobs is heard as it happens: over server-sent events and WebSockets, from a cursor on."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from advanced_rag.client import Client
from tests.conftest import make_data_dir
from tests.support.service import RunningService, running

CONNECTIONS = 20


@pytest.fixture(scope="module")
def service(tmp_path_factory, prepared_encoders: Path) -> Iterator[RunningService]:
    data_dir = make_data_dir(tmp_path_factory.mktemp("events") / "data", prepared_encoders)
    with running(data_dir, RAG_SERVER__WEBSOCKETS_PER_CALLER=str(CONNECTIONS)) as live:
        yield live
        assert live.faults() == ""


@pytest.fixture
def client(service: RunningService) -> Iterator[Client]:
    with Client(service.url) as own:
        yield own


def listening(service: RunningService, query: str = "") -> ClientConnection:
    return connect(service.url.replace("http", "ws") + f"/v1/jobs/ws{query}")


def hear(socket: ClientConnection, job_id: str) -> list[dict]:
    """Return what is told of a job, to its end."""
    heard = []
    while not heard or heard[-1]["status"] != "ready":
        data = json.loads(socket.recv(20))["data"]
        if data["job_id"] == job_id:
            heard.append(data)
    return heard


def take(client: Client, text: str) -> dict:
    (taken,) = client.upload([("a.txt", text.encode())])["documents"]
    return taken


def test_a_listener_hears_every_stage_once_and_in_order(service, client):
    with listening(service) as socket:
        socket.send("ping")
        assert socket.recv(10) == "pong"
        heard = hear(socket, take(client, "Heard over a socket.")["job_id"])
    assert [item["stage"] for item in heard] == [
        *("received", "received", "parsed", "classified", "chunked", "embedded", "indexed", "ready")
    ]
    cursors = [item["cursor"] for item in heard]
    assert cursors == sorted(set(cursors))


def test_who_comes_back_with_his_cursor_has_missed_nothing(service, client):
    with listening(service) as socket:
        before = hear(socket, take(client, "Heard before.")["job_id"])[-1]["cursor"]
    missed = take(client, "Missed, and heard later.")
    with httpx2.stream("GET", f"{service.url}{missed['events_url']}", timeout=30) as events:
        told = [json.loads(line.removeprefix("data: ")) for line in events.iter_lines() if line.startswith("data: ")]
    with listening(service, f"?cursor={before}") as socket:
        assert hear(socket, missed["job_id"]) == told
    with listening(service, f"?cursor={before}&job_id={missed['job_id']}") as socket:
        assert [json.loads(socket.recv(10))["data"] for _ in told] == told


def test_many_hear_the_same(service, client):
    with ExitStack() as stack:
        sockets = [stack.enter_context(listening(service)) for _ in range(CONNECTIONS)]
        job_id = take(client, "Heard by many.")["job_id"]
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            heard = list(pool.map(lambda socket: hear(socket, job_id), sockets))
        assert all(item == heard[0] for item in heard)
        with pytest.raises(InvalidStatus) as refused, listening(service):
            pass
        assert refused.value.response.status_code == 503


def test_a_cursor_is_a_number(service):
    with listening(service, "?cursor=yesterday") as socket:
        assert json.loads(socket.recv(10))["data"]["error"]["code"] == "invalid_request"
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(10)
    assert closed.value.rcvd.code == 1008


def test_who_sends_something_other_than_text_is_hung_up_on(service):
    with listening(service) as socket:
        socket.send(b"\x00")
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(10)
    assert closed.value.rcvd.code == 1003
