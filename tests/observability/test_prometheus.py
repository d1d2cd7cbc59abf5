"""A real Prometheus scrapes a real service, and every panel of every dashboard shows something."""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
import yaml

from advanced_rag.client import Client
from tests.observability.test_files import DASHBOARDS, ROOT, expressions, program
from tests.support.service import RunningService, free_port, running

PATIENCE_S = 60


@pytest.fixture
def busy_service(data_dir: Path) -> Iterator[RunningService]:
    """A service that has something to show in every metric that shows only what happened."""
    limits = {"RAG_JOBS__INTERVAL_S": "0.2"}
    with running(data_dir, **limits) as service, Client(service.url) as client:
        client.ingest([{"id": "otters", "text": "Otters hold hands while they sleep."}])
        yield service


def work(service: RunningService) -> None:
    with Client(service.url) as client:
        for n in range(3):
            client.retrieve("Who holds hands?", mmr=True)
            client.retrieve(f"Who holds hands, {n}?")
        client.chat("Who holds hands while sleeping?")
        client.ingest([{"id": "otters", "text": f"Otters hold hands, {time.time()}."}])


@pytest.fixture
def prometheus(busy_service: RunningService, tmp_path: Path) -> Iterator[httpx2.Client]:
    """A Prometheus that scrapes it every second, as configured but for the address."""
    config = yaml.safe_load((ROOT / "prometheus.yml").read_text(encoding="utf-8"))
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(ROOT / "alerts" / "rag_alerts.yml")]
    config["alerting"] = {}
    config["scrape_configs"][0]["static_configs"] = [{"targets": [busy_service.url.removeprefix("http://")]}]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    port = free_port()
    command = [
        program("prometheus"),
        f"--config.file={tmp_path / 'prometheus.yml'}",
        f"--storage.tsdb.path={tmp_path / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=os.fspath(tmp_path))
    try:
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
            yield client
    finally:
        process.terminate()
        process.wait(30)


def shows(prometheus: httpx2.Client, expression: str) -> bool:
    query = expression.replace("$__rate_interval", "30s")
    try:
        answer = prometheus.get("/api/v1/query", params={"query": query})
    except httpx2.TransportError:
        return False  # it is still starting
    return answer.status_code == 200 and bool(answer.json()["data"]["result"])


def test_every_panel_shows_something(prometheus, busy_service):
    waiting = {expr for file in DASHBOARDS for expr in expressions(file)}
    deadline = time.monotonic() + PATIENCE_S
    while waiting and time.monotonic() < deadline:
        work(busy_service)
        waiting = {expr for expr in waiting if not shows(prometheus, expr)}
    assert waiting == set()
