"""Chat over a WebSocket: authenticated like the rest, by header, subprotocol or ticket; for its own pages; in bounds."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from advanced_rag.client import Client
from tests.conftest import make_data_dir
from tests.support.service import COMMAND, RunningService, running

SETTINGS = {
    "RAG_AUTH__MODE": "required",
    "RAG_SERVER__ALLOWED_ORIGINS": '["https://chat.example.org"]',
    "RAG_SERVER__WEBSOCKETS_PER_CALLER": "3",
    "RAG_RATE_LIMIT__ENABLED": "true",
    "RAG_RATE_LIMIT__CHAT": "4/minute",
}


def keys(data_dir: Path, *arguments: str) -> str:
    """Administer keys as an operator does, beside the running service."""
    command = [COMMAND, "keys", *arguments, "--tenant", "default"]
    environment = {**os.environ, "RAG_DATA_DIR": str(data_dir)}
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


def make_key(data_dir: Path, *options: str) -> str:
    return str(json.loads(keys(data_dir, "create", "--json", *options))["key"])


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory, prepared_encoders: Path) -> Path:
    return make_data_dir(tmp_path_factory.mktemp("sockets") / "data", prepared_encoders)


@pytest.fixture(scope="module")
def service(data_dir: Path) -> Iterator[RunningService]:
    with running(data_dir, **SETTINGS) as live:
        with Client(live.url, key=make_key(data_dir, "--role", "writer")) as client:
            client.ingest([{"id": "ferry", "text": "The ferry leaves at noon."}])
        yield live
        assert live.faults() == ""


@pytest.fixture
def key(data_dir: Path, service) -> str:
    return make_key(data_dir, "--role", "reader")


def open_socket(service: RunningService, query: str = "", **options) -> ClientConnection:
    return connect(service.url.replace("http", "ws") + f"/v1/chat/ws{query}", **options)


def ask(socket: ClientConnection, **body) -> list[dict]:
    """Ask, and return the events up to the last one."""
    socket.send(json.dumps(body))
    events = [json.loads(socket.recv(timeout=30))]
    while events[-1]["event"] not in {"done", "error"}:
        events.append(json.loads(socket.recv(timeout=30)))
    return events


def refused(service: RunningService, query: str = "", **options) -> tuple[int, str]:
    with pytest.raises(InvalidStatus) as raised, open_socket(service, query, **options):
        pass
    response = raised.value.response
    return response.status_code, json.loads(response.body)["error"]["code"]


def test_questions_are_answered_in_the_events_of_a_stream_and_in_one_session(service, key):
    with open_socket(service, additional_headers={"Authorization": f"Bearer {key}"}) as socket:
        events = ask(socket, message="When does the ferry leave?")
        assert events[0]["event"] == "retrieval"
        assert "noon" in events[-1]["data"]["answer"]
        again = ask(socket, message="And when does it leave?", session_id=events[-1]["data"]["session_id"])
        assert again[-1]["data"]["session_id"] == events[-1]["data"]["session_id"]


def test_a_browser_offers_its_key_as_a_subprotocol(service, key):
    with open_socket(service, subprotocols=["advanced-rag", f"bearer.{key}"]) as socket:
        assert socket.subprotocol == "advanced-rag"
        assert ask(socket, message="When does the ferry leave?")[-1]["event"] == "done"


def ticket(service: RunningService, key: str) -> str:
    answer = httpx2.post(f"{service.url}/v1/ws-ticket", headers={"X-API-Key": key})
    assert answer.status_code == 201
    return str(answer.json()["ticket"])


def test_a_ticket_opens_one_connection(service, key):
    made = ticket(service, key)
    with open_socket(service, f"?ticket={made}") as socket:
        assert ask(socket, message="When does the ferry leave?")[-1]["event"] == "done"
    assert refused(service, f"?ticket={made}") == (401, "invalid_credentials")
    assert made not in "".join(service.log)


def test_who_is_unknown_or_may_not_is_refused_before_anything_is_said(service, data_dir, key):
    assert refused(service) == (401, "missing_credentials")
    assert refused(service, additional_headers={"X-API-Key": "rag_wrong"}) == (401, "invalid_credentials")
    assert refused(service, "?ticket=wrong") == (401, "invalid_credentials")
    assert refused(service, f"?token={key}") == (401, "missing_credentials")


def test_pages_of_other_sites_are_refused(service, key):
    headers = {"X-API-Key": key}
    for origin in ("https://evil.example.org", "null", "http://127.0.0.1:1"):
        assert refused(service, additional_headers=headers, origin=origin) == (403, "forbidden")
    for origin in ("https://chat.example.org", service.url):
        with open_socket(service, additional_headers=headers, origin=origin):
            pass


def test_a_caller_has_so_many_connections_and_no_more(service, key):
    headers = {"X-API-Key": key}
    with ExitStack() as opened:
        for _ in range(3):
            opened.enter_context(open_socket(service, additional_headers=headers))
        assert refused(service, additional_headers=headers) == (503, "overloaded")
    with open_socket(service, additional_headers=headers):
        pass


def test_messages_are_limited_like_requests_and_what_is_wrong_with_one_does_not_end_the_connection(service, key):
    with open_socket(service, additional_headers={"X-API-Key": key}) as socket:
        for wrong in ("no json", '{"message": ""}', '{"message": "x", "tenant": "other"}', '{"message": NaN}'):
            socket.send(wrong)
            assert json.loads(socket.recv(timeout=30))["event"] == "error"
        (limited,) = ask(socket, message="When does the ferry leave?")
        assert limited["data"]["error"]["code"] == "rate_limited"


def test_a_frame_beyond_the_limit_ends_the_connection(service, key):
    with open_socket(service, additional_headers={"X-API-Key": key}) as socket:
        socket.send("x" * 70_000)
        with pytest.raises(ConnectionClosed) as raised:
            socket.recv(timeout=30)
        assert raised.value.rcvd.code == 1009


def test_a_connection_lasts_as_long_as_it_may(tmp_path, prepared_encoders):
    data_dir = make_data_dir(tmp_path / "data", prepared_encoders)
    with running(data_dir, RAG_SERVER__WEBSOCKET_LIFETIME_S="1") as service, open_socket(service) as socket:
        with pytest.raises(ConnectionClosed) as raised:
            socket.recv(timeout=30)
        assert raised.value.rcvd.code == 1001


@pytest.mark.parametrize("with_ticket", [False, True], ids=["key", "ticket"])
def test_a_connection_ends_when_its_key_is_revoked_on_another_replica(service, data_dir, with_ticket):
    made = json.loads(keys(data_dir, "create", "--json", "--role", "reader"))
    query, headers = (f"?ticket={ticket(service, made['key'])}", {}) if with_ticket else ("", {"X-API-Key": made["key"]})
    with open_socket(service, query, additional_headers=headers) as socket:
        keys(data_dir, "revoke", made["id"])
        with pytest.raises(ConnectionClosed) as raised:
            socket.recv(timeout=30)
    assert (raised.value.rcvd.code, raised.value.rcvd.reason) == (1008, "revoked_credentials")


def test_a_stream_of_events_ends_when_its_key_is_revoked(tmp_path, prepared_encoders):
    data_dir = make_data_dir(tmp_path / "data", prepared_encoders)
    with running(data_dir, RAG_AUTH__MODE="required", RAG_JOBS__EMBEDDED="false") as service:
        made = json.loads(keys(data_dir, "create", "--json", "--role", "writer"))
        with Client(service.url, key=made["key"]) as client:
            (taken,) = client.upload([("a.txt", b"Nobody works on it.")])["documents"]
        headers = {"X-API-Key": made["key"]}
        with httpx2.stream("GET", f"{service.url}{taken['events_url']}", headers=headers, timeout=30) as answer:
            keys(data_dir, "revoke", made["id"])
            *_, last = [line for line in answer.iter_lines() if line.startswith("data: ")]
        assert json.loads(last.removeprefix("data: "))["error"]["code"] == "revoked_credentials"


def test_a_token_in_the_address_is_taken_where_a_setting_allows_it_and_never_logged(tmp_path, prepared_encoders):
    data_dir = make_data_dir(tmp_path / "data", prepared_encoders)
    with running(data_dir, RAG_AUTH__MODE="required", RAG_AUTH__TOKEN_IN_URL="true") as service:
        key = make_key(data_dir, "--role", "reader")
        with open_socket(service, f"?token={key}") as socket:
            assert ask(socket, message="When does the ferry leave?")[-1]["event"] == "done"
        service.process.terminate()
        service.process.wait(30)
        assert key not in "".join(service.log)
