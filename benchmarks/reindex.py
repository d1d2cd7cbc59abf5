"""What building the index anew does to retrieval: ``python -m benchmarks.reindex``; made-up texts, a second encoder.

Questions come at random moments; the work is begun and stopped again and again, so that with and without it are one run.
"""

import json
import random
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from advanced_rag.client import Client
from advanced_rag.encoders.load import BUNDLED_MODEL, locate_model
from benchmarks.machine import describe
from benchmarks.overload import flood
from benchmarks.report import put_section
from tests.support.service import RunningService, running

DOCUMENTS, WORDS = 3000, 120
BATCH = 64  # chunks
RATES = (10, 30)  # questions a second
ROUNDS, SECONDS = 8, 12.0
LIMIT_S = 900.0
STARTS, MIDDLES, ENDS = ("bar", "mel", "tor", "sin", "pel"), "aeiou", ("dan", "rim", "lok", "vus")
VOCABULARY = [a + b + c for a in STARTS for b in MIDDLES for c in ENDS]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        data_dir, model = Path(folder) / "data", _other_model(Path(folder))
        with running(data_dir) as service, Client(service.url) as client:
            _ingest(client)
        with running(data_dir, RAG_ENCODER__MODEL=str(model)) as service, Client(service.url) as client:
            rows = [_row(service, client, rate) for rate in RATES]
            alone_s, chunks = _alone(client)
    lines = [
        f"Written by `python -m benchmarks.reindex` on {describe()}. {chunks:,} chunks; a new encoder of the same size.",
        "",
        "| questions a second | p50 / p95 without | with, from its start on | p95 rises by | chunks a second meanwhile |",
        "|---|---|---|---|---|",
        *rows,
        f"| none | | | | {chunks / alone_s:.0f} ({alone_s:.0f} s in all) |",
    ]
    put_section("Reindexing", "\n".join(lines))
    print("\n".join(lines))


def _other_model(folder: Path) -> Path:
    """Return the bundled model, made to read one token less: other vectors, the same work."""
    model = Path(shutil.copytree(locate_model(BUNDLED_MODEL), folder / "model"))
    settings = model / "sentence_bert_config.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"max_seq_length": 255}), encoding="utf-8")
    return model


def _ingest(client: Client) -> None:
    dice = random.Random(0)
    for start in range(0, DOCUMENTS, 200):
        texts = (" ".join(dice.choices(VOCABULARY, k=WORDS)) for _ in range(200))
        client.ingest([{"id": f"d{start + n}", "text": text.capitalize() + "."} for n, text in enumerate(texts)])


def _row(service: RunningService, client: Client, rate: int) -> str:
    alone: list[float] = []
    beside: list[float] = []
    chunks = 0
    for turn in range(ROUNDS):
        alone += _asked(service, rate, 2 * turn)
        with _reindexing(client):
            beside += _asked(service, rate, 2 * turn + 1)
            chunks += client.reindexing()["run"]["done"]
        print(rate, turn, _both(alone), _both(beside), chunks, flush=True)
    rise = np.percentile(beside, 95) / np.percentile(alone, 95) - 1
    speed = chunks / (ROUNDS * SECONDS)
    return f"| {rate} | {_both(alone)} | {_both(beside)} | {rise:.0%} | {speed:.0f} |"


def _asked(service: RunningService, rate: int, turn: int) -> list[float]:
    dice = random.Random(f"{rate} {turn}")
    queries = [" ".join(dice.choices(VOCABULARY, k=6)) for _ in range(int(rate * SECONDS))]
    found = flood(service.url, queries, per_second=rate, seconds=SECONDS)
    assert not any(found.refused), found.refused  # 0: a connection that had been idle for too long
    return found.latencies_ms


@contextmanager
def _reindexing(client: Client) -> Iterator[None]:
    client.reindex(kinds=["semantic"], batch_size=BATCH)
    _until(client, lambda run: run["phase"] == "building")
    yield
    assert client.reindexing()["run"]["state"] == "running", "it ended before it was measured"
    client.cancel_reindex()


def _alone(client: Client) -> tuple[float, int]:
    started = time.perf_counter()
    client.reindex(kinds=["semantic"])
    _until(client, lambda run: run["state"] != "running")
    run = client.reindexing()["run"]
    assert run["state"] == "done", run
    return time.perf_counter() - started, run["total"]


def _until(client: Client, is_so) -> None:
    give_up_at = time.monotonic() + LIMIT_S
    while not is_so(client.reindexing()["run"]):
        assert time.monotonic() < give_up_at, "the run takes too long"
        time.sleep(0.2)


def _both(latencies_ms: list[float]) -> str:
    return f"{np.percentile(latencies_ms, 50):.0f} / {np.percentile(latencies_ms, 95):.0f} ms"


if __name__ == "__main__":
    main()
