"""The vector store freezes or dies: honest answers while it lasts, good ones after it."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from advanced_rag.config import MilvusSettings
from tests.support.live import LiveService
from tests.support.service import INGEST

QUERY = "Where do kingfishers nest?"


@pytest.fixture
def service(data_dir: Path) -> Iterator[LiveService]:
    """A service with little patience for its vector store."""
    before = _children()
    with LiveService(data_dir, milvus=MilvusSettings(timeout_s=0.5, attempts=1)) as live:
        (live.milvus,) = (child.pid for child in _children() - before if "milvus" in child.name())
        assert live.post(INGEST, documents=[{"id": "birds", "text": "Kingfishers nest in tunnels."}]).is_success
        yield live


def _children() -> set[psutil.Process]:
    return set(psutil.Process().children(recursive=True))


@pytest.fixture
def frozen(service: LiveService) -> Iterator[LiveService]:
    os.kill(service.milvus, signal.SIGSTOP)
    yield service
    os.kill(service.milvus, signal.SIGCONT)


def test_while_it_is_frozen_the_answer_is_a_clear_503_and_then_good_again(frozen):
    answer = frozen.post("/v1/retrieve", query=QUERY)
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] in {"vector_store_unavailable", "dependency_timeout"}
    assert int(answer.headers["retry-after"]) >= 1
    assert frozen.get("/v1/documents/birds").status_code == 200
    os.kill(frozen.milvus, signal.SIGCONT)
    answer = frozen.post("/v1/retrieve", query=QUERY).json()
    assert ([hit["document_id"] for hit in answer["hits"]], answer["degraded"]) == (["birds"], [])


def test_a_caller_in_a_hurry_is_not_kept_by_a_frozen_store(frozen):
    answer = frozen.request("POST", "/v1/retrieve", json={"query": QUERY}, headers={"X-Request-Timeout": "0.05"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "deadline_exceeded")


def test_after_many_failures_it_is_left_alone_and_refused_at_once(frozen):
    codes = [frozen.post("/v1/retrieve", query=f"{QUERY} {n}").json()["error"]["code"] for n in range(12)]
    assert codes[-1] == "circuit_open"


def test_when_it_is_dead_documents_fail_alone_and_readiness_tells(service):
    os.kill(service.milvus, signal.SIGKILL)
    assert service.post("/v1/retrieve", query=QUERY).status_code == 503
    assert service.get("/healthz/ready").json()["components"]["vector_store"]["ok"] is False
    assert service.get("/healthz/live").status_code == 200
