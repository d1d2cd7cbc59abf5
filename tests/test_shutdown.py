"""SIGTERM and Ctrl-C: what is in work is answered, then the process ends with status 0."""

import http.client
import signal
from urllib.parse import urlsplit

import orjson
import pytest

from advanced_rag.client import Client
from tests.support.service import INGEST, running

JSON = {"content-type": "application/json"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_is_in_work_is_finished_and_nothing_is_left_behind(data_dir, number):
    documents = [{"id": str(n), "text": f"Report {n}. " * 200} for n in range(100)]
    with running(data_dir) as service:
        connection = http.client.HTTPConnection(urlsplit(service.url).netloc, timeout=60)
        connection.request("POST", INGEST, orjson.dumps({"documents": documents}), JSON)
        with Client(service.url) as client:
            client.status()  # the loop came round since: it has the request
        service.process.send_signal(number)
        answer = orjson.loads(connection.getresponse().read())
        connection.close()
        assert {item["status"] for item in answer["documents"]} == {"created"}
        assert service.process.wait(60) == 0
    with running(data_dir) as service, Client(service.url) as client:
        assert client.verify()["agrees"]
        assert client.status()["documents"] == 100
