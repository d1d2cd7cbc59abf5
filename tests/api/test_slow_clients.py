"""Clients that dawdle, or send too much before they ask, are hung up on; the others do not notice."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest

from tests.conftest import make_data_dir
from tests.support.service import RunningService, running

HEAD = b"POST /v1/retrieve HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
BODY = b'{"query": "kingfishers"}'


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, prepared_encoders: Path) -> Iterator[RunningService]:
    """A service with little patience."""
    limits = {f"RAG_SERVER__{name}_TIMEOUT_S": "0.5" for name in ("HEADER", "BODY", "WRITE")}
    data_dir = make_data_dir(tmp_path_factory.mktemp("slow") / "data", prepared_encoders)
    with running(data_dir, **limits, RAG_SERVER__BODY_BYTES_PER_S="10") as live:
        yield live


def connect(service: RunningService) -> socket.socket:
    place = urlsplit(service.url)
    return socket.create_connection((place.hostname, place.port), timeout=20)


def until_closed(connection: socket.socket) -> bytes:
    """Return what comes until the service hangs up."""
    received = b""
    while part := connection.recv(65_536):
        received += part
    return received


@pytest.mark.parametrize("sent", [b"", HEAD[:10], HEAD], ids=["nothing", "half a line", "no end of headers"])
def test_headers_that_do_not_come_are_not_waited_for(service, sent):
    with connect(service) as connection:
        connection.sendall(sent)
        assert until_closed(connection).startswith(b"HTTP/1.1 408")


def test_headers_that_drip_are_not_waited_for_either(service):
    def drip(connection: socket.socket) -> None:
        connection.sendall(HEAD)
        for number in range(60):
            connection.sendall(b"x-%d: y\r\n" % number)
            time.sleep(0.1)

    with connect(service) as connection, pytest.raises((BrokenPipeError, ConnectionResetError)):
        drip(connection)


def test_headers_without_end_are_refused(service):
    with connect(service) as connection:
        connection.sendall(HEAD + b"x: " + b"y" * 60_000)
        assert until_closed(connection).startswith(b"HTTP/1.1 431")


def test_a_body_that_does_not_come_is_not_waited_for(service):
    with connect(service) as connection:
        connection.sendall(HEAD + b"content-length: %d\r\n\r\n" % len(BODY) + BODY[:3])
        answer = until_closed(connection)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"body_too_slow" in answer


def test_a_body_that_comes_slowly_but_surely_is_taken(service):
    with connect(service) as connection:
        connection.sendall(HEAD + b"connection: close\r\ncontent-length: %d\r\n\r\n" % len(BODY))
        for byte in BODY:
            connection.sendall(bytes([byte]))
            time.sleep(0.05)
        assert until_closed(connection).startswith(b"HTTP/1.1 200")


def test_a_client_that_reads_nothing_is_hung_up_on(service):
    text = "Kingfishers nest in tunnels. " * 2_000
    httpx2.post(f"{service.url}/v1/ingest", json={"documents": [{"id": "long", "text": text}]}, timeout=60)
    with connect(service) as connection:
        connection.sendall(b"GET /v1/documents/long HTTP/1.1\r\nhost: x\r\n\r\n" * 400)
        time.sleep(3)
        assert len(until_closed(connection)) < 400 * len(text)


def test_connections_are_used_again_and_idle_ones_cost_nobody_anything(service):
    idle = [connect(service) for _ in range(200)]
    with httpx2.Client(base_url=service.url, timeout=20) as client:
        for number in range(20):
            assert client.post("/v1/retrieve", json={"query": f"kingfishers {number}"}).status_code == 200
    for connection in idle:
        connection.close()
