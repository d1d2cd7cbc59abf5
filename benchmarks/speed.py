"""How fast the service takes documents in and finds them, beside what its parts need alone."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from advanced_rag.client import Client
from benchmarks.baseline import Baseline, measure
from benchmarks.datasets import Dataset
from benchmarks.load import Load, retrieve_all
from benchmarks.machine import cpu_seconds, memory_mib
from benchmarks.overload import Flood, flood
from tests.support.service import running

BATCH = 500
ALONE, TOGETHER = 300, 1200  # queries sent over one connection, and over many
CONNECTIONS = 16
CALM, STORM, FLOOD_S = 0.8, 4.0, 20  # shares of the throughput at many connections, and the seconds of each flood


@dataclass(frozen=True, slots=True)
class Speed:
    """What one run showed; times in seconds, memory in MiB."""

    documents: int
    ingest_s: float
    peak_mib: float
    start_s: float
    alone: Load
    together: Load
    calm: Flood
    storm: Flood
    cpu_ms: float
    baseline: Baseline


def ingest(client: Client, documents: Sequence[dict[str, str]]) -> float:
    """Ingest documents and return the seconds it took; raises AssertionError when one fails."""
    started = time.perf_counter()
    for start in range(0, len(documents), BATCH):
        answer = client.ingest(documents[start : start + BATCH])
        assert {item["status"] for item in answer["documents"]} == {"created"}
    return time.perf_counter() - started


def measure_speed(data_dir: Path, dataset: Dataset) -> Speed:
    """Fill a data directory, restart on it, send queries that were never sent before, then measure the parts alone."""
    queries = list(dict.fromkeys(document["title"] for document in dataset.documents if document.get("title")))
    with running(data_dir) as service, Client(service.url) as client:
        ingest_s = ingest(client, dataset.documents)
        peak_mib = memory_mib(service.process.pid, "VmHWM")
    with running(data_dir) as service:
        pid = service.process.pid
        retrieve_all(service.url, queries[:100], connections=1)
        alone = retrieve_all(service.url, queries[100 : 100 + ALONE], connections=1)
        before = cpu_seconds(pid)
        together = retrieve_all(service.url, queries[-TOGETHER:], connections=CONNECTIONS)
        cpu_ms = (cpu_seconds(pid) - before) / TOGETHER * 1000
        peak_mib = max(peak_mib, memory_mib(pid, "VmHWM"))
        start_s = service.start_s
        calm = flood(service.url, queries, per_second=CALM * together.rate, seconds=FLOOD_S)
        storm = flood(service.url, queries, per_second=STORM * together.rate, seconds=FLOOD_S)
    baseline = measure(data_dir, queries[100 : 100 + ALONE])
    return Speed(len(dataset.documents), ingest_s, peak_mib, start_s, alone, together, calm, storm, cpu_ms, baseline)
