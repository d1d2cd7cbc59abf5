"""Measure, and write down what came out: ``python -m benchmarks DATA``.

DATA holds evaluation sets in BEIR layout, one folder each; ``scifact`` is the one speed is measured on.
"""

import argparse
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from advanced_rag import __version__
from advanced_rag.client import Client
from benchmarks.crash import kill_again_and_again
from benchmarks.datasets import load
from benchmarks.identity import measure as measure_identities
from benchmarks.logs import log_call_us
from benchmarks.machine import describe
from benchmarks.quality import compare_fusions, ndcg, rank
from benchmarks.report import RESULTS, put_report
from benchmarks.speed import CALM, CONNECTIONS, STORM, Speed, ingest, measure_speed
from tests.support.service import running

QUALITY_SETS = ("scifact", "cranfield")
SPEED_SET = "scifact"
ROUNDS = 20


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("data", type=Path, help="folder of evaluation sets")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="times the service is killed")
    options = parser.parse_args()
    sections = [_heading(), _quality(options.data), _speed(options.data), _identities(), _crashes(options.rounds)]
    put_report(sections)
    print(RESULTS.read_text(encoding="utf-8"))


def _heading() -> str:
    return (
        f"# Results\n\nVersion {__version__}, {datetime.now(UTC):%Y-%m-%d}, on {describe()}; client and service share it. "
        "Written by `make bench DATA=FOLDER`. Absolute times are of this machine: read the ratios."
    )


def _quality(data: Path) -> str:
    lines = ["## Quality", "", "nDCG@10 through `/v1/retrieve`, as shipped; a document stands at its best passage.", ""]
    lines += ["| set | documents | hybrid | semantic | sparse |", "|---|---|---|---|---|"]
    fusions: list[str] = []
    for name in QUALITY_SETS:
        dataset = load(data / name)
        with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as service, Client(service.url) as client:
            ingest(client, dataset.documents)
            values = [ndcg(dataset, rank(client, dataset, mode)) for mode in ("hybrid", "semantic", "sparse")]
            compared = compare_fusions(client, dataset)
        lines.append(f"| {name} | {len(dataset.documents)} | **{values[0]:.3f}** | {values[1]:.3f} | {values[2]:.3f} |")
        fusions.append(f"| {name} | " + " | ".join(f"{value:.3f}" for value in compared.values()) + " |")
    lines += ["", "The same candidates, fused in other ways:", ""]
    lines += ["| set | " + " | ".join(compared) + " |", "|---" * (len(compared) + 1) + "|", *fusions]
    return "\n".join(lines)


def _speed(data: Path) -> str:
    with tempfile.TemporaryDirectory() as folder:
        found = measure_speed(Path(folder), load(data / SPEED_SET))
    return "\n".join(
        ["## Speed", "", f"{found.documents} documents of {SPEED_SET}; no query is sent twice.", "", *_rows(found)]
    )


def _identities() -> str:
    heading = ["## Identities", "", "Medians of calls that take turns in one run.", "", "| what | figure |", "|---|---|"]
    return "\n".join([*heading, *measure_identities()])


def _rows(found: Speed) -> list[str]:
    parts = found.baseline
    ingest_rate = found.documents / found.ingest_s * 60
    encoder_share = parts.passages_s / found.ingest_s
    parts_ms = parts.query_ms + parts.search_ms
    p50 = found.alone.percentile(50)
    return [
        "| what | figure |",
        "|---|---|",
        f"| ingest through the API | {ingest_rate:,.0f} documents a minute ({parts.passages} passages) |",
        f"| against the encoder alone on the same passages | {encoder_share:.0%} of its rate |",
        f"| retrieve, one connection, p50 / p95 | {p50:.1f} / {found.alone.percentile(95):.1f} ms |",
        f"| one query encoding + one dense search, alone | {parts.query_ms:.1f} + {parts.search_ms:.1f} ms |",
        f"| p50 against those two | {p50 / parts_ms:.1f} times |",
        f"| requests a second, 1 / {CONNECTIONS} connections | {found.alone.rate:.0f} / {found.together.rate:.0f} |",
        f"| throughput of {CONNECTIONS} against 1 | {found.together.rate / found.alone.rate:.1f} times |",
        f"| retrieve, {CONNECTIONS} connections, p50 / p95 | {_both(found)} ms |",
        f"| at {CALM:.0%} of that, at random moments, p95 | {found.calm.p95():.0f} ms |",
        f"| at {STORM:.0%}: answered, of the {found.together.rate:.0f} | {found.storm.goodput / found.together.rate:.0%} |",
        f"| p95 of those answered, against {CALM:.0%} | {found.storm.p95() / found.calm.p95():.1f} times |",
        f"| the others: refused at once with 503 | {found.storm.refused.count(503) / len(found.storm.refused):.1%} |",
        f"| processor time of a request at {CONNECTIONS} connections | {found.cpu_ms:.1f} ms |",
        f"| one log line, on the thread of the request | {log_call_us():.0f} µs |",
        f"| start-up to ready on these documents | {found.start_s:.1f} s |",
        f"| peak memory, service and vector store together | {found.peak_mib:.0f} MiB |",
    ]


def _both(found: Speed) -> str:
    return f"{found.together.percentile(50):.0f} / {found.together.percentile(95):.0f}"


def _crashes(rounds: int) -> str:
    with tempfile.TemporaryDirectory() as folder:
        found = kill_again_and_again(Path(folder), rounds)
    return (
        f"## Crashes\n\n`kill -9` at a random moment of an ingestion of 200 documents, {found.rounds} times, "
        f"each time restarted: SQL and Milvus agreed after each of the {found.verified} starts; "
        f"all {found.acknowledged} acknowledged documents are there exactly once, "
        f"{found.visible} are visible in all, every one whole."
    )


if __name__ == "__main__":
    main()
