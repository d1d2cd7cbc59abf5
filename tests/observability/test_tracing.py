"""Traces: one for each request, with its stages, sent to a collector; ids in the log; a dead collector disturbs nobody."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx2
import orjson
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from advanced_rag.client import Client
from tests.support.service import free_port, running

SECRET = "the quarterly figures of the otter department"


class Collector:
    """Takes what an exporter sends over OTLP."""

    def __init__(self) -> None:
        collector = self
        self.spans: list = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                sent = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["content-length"])))
                collector.spans += [span for group in sent.resource_spans for s in group.scope_spans for span in s.spans]
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}/v1/traces"


@pytest.fixture
def collector() -> Iterator[Collector]:
    opened = Collector()
    thread = threading.Thread(target=opened.server.serve_forever)
    thread.start()
    yield opened
    opened.server.shutdown()
    thread.join()
    opened.server.server_close()


def test_a_request_is_traced_with_its_stages_and_its_log_line_has_the_id(data_dir, collector):
    parent = "0af7651916cd43dd8448eb211c80319c"
    with running(data_dir, RAG_TRACING__ENABLED="true", RAG_TRACING__ENDPOINT=collector.endpoint) as service:
        with Client(service.url) as client:
            client.ingest([{"id": "otters", "text": SECRET}])
        asked = httpx2.post(
            f"{service.url}/v1/chat",
            json={"message": SECRET},
            headers={"traceparent": f"00-{parent}-b7ad6b7169203331-01"},
            timeout=30,
        )
        assert asked.status_code == 200
        service.process.terminate()
        assert service.process.wait(30) == 0
    spans = {span.name: span for span in collector.spans if span.trace_id.hex() == parent}
    assert {"history", "search", "semantic", "sparse", "hydrate", "answer", "save"} <= set(spans)
    assert spans["semantic"].parent_span_id == spans["search"].span_id
    assert {"chunk", "store", "index", "activate"} <= {span.name for span in collector.spans}
    lines = [orjson.loads(line) for line in service.log if line.startswith("{")]
    (line,) = [line for line in lines if line.get("endpoint") == "chat"]
    assert line["trace_id"] == parent
    assert SECRET not in str(collector.spans) + str(lines)


def test_a_collector_that_is_gone_disturbs_nobody(data_dir):
    endpoint = f"http://127.0.0.1:{free_port()}/v1/traces"
    with running(data_dir, RAG_TRACING__ENABLED="true", RAG_TRACING__ENDPOINT=endpoint) as service:
        with Client(service.url) as client:
            assert client.retrieve("otters")["degraded"] == []
        service.process.terminate()
        assert service.process.wait(15) == 0


def test_only_a_share_of_the_requests_is_traced_where_the_settings_say_so(data_dir, collector):
    tracing = {"RAG_TRACING__ENABLED": "true", "RAG_TRACING__ENDPOINT": collector.endpoint, "RAG_TRACING__SAMPLE_RATIO": "0"}
    with running(data_dir, **tracing) as service:
        with Client(service.url) as client:
            client.retrieve("otters")
        service.process.terminate()
        assert service.process.wait(15) == 0
    assert collector.spans == []
