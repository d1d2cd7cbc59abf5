"""Logs: one JSON object a line, whatever is asked; what people wrote is not in it."""

import http.client
from urllib.parse import urlsplit

import httpx2
import orjson

from tests.support.service import INGEST, running

SECRET = "hunter2-of-the-otters"
LINE = {"request_id", "endpoint", "method", "status", "tenant", "duration_ms", "level", "timestamp"}


def test_what_people_write_never_reaches_the_log(data_dir):
    with running(data_dir, RAG_LOGGING__LEVEL="debug") as service:
        with httpx2.Client(base_url=service.url, headers={"Authorization": f"Bearer {SECRET}"}, timeout=30) as client:
            client.post(
                INGEST,
                json={"documents": [{"id": "a", "title": SECRET, "text": SECRET, "metadata": {"a": SECRET}}]},
            )
            client.post("/v1/retrieve", json={"query": SECRET, "filters": {"a": SECRET}})
            client.post("/v1/retrieve", json={"query": SECRET, "domain": SECRET})
            answer = client.post("/v1/chat", json={"message": SECRET}).json()
            client.post("/v1/feedback", json={"message_id": answer["message_id"], "rating": 1, "comment": SECRET})
            client.post("/v1/sessions", json={"title": SECRET})
            client.post("/v1/retrieve", content=f'{{"query": "{SECRET}')
            client.get(f"/v1/documents/{SECRET}?cursor={SECRET}")
            client.get(f"/{SECRET}")
        service.process.terminate()
        assert service.process.wait(30) == 0
    lines = [orjson.loads(line) for line in service.log if line.strip()]
    requests = [line for line in lines if line["event"] == "request"]
    assert len(requests) == 9
    assert all(set(line) >= LINE for line in requests)
    assert [line for line in lines if SECRET in str(line)] == []


def test_nobody_writes_lines_of_his_own(data_dir):
    with running(data_dir) as service:
        connection = http.client.HTTPConnection(urlsplit(service.url).netloc, timeout=10)
        forged = '%0a{"event":"forged"}%0d%1b[31m'
        connection.request("GET", f"/v1/documents/{forged}", headers={"X-Request-ID": "a b", "User-Agent": "x\tforged"})
        assert connection.getresponse().status == 404
        connection.close()
        service.process.terminate()
        service.process.wait(30)
    assert "forged" not in "".join(service.log)
    assert all(isinstance(orjson.loads(line), dict) for line in service.log if line.strip())
