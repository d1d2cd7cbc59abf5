"""What uploads cost: ``python -m benchmarks.uploads DATA``.

DATA holds ``financebench`` (PDFs, and questions with the pages that answer them) and ``documents`` (files good and hostile,
named in MANIFEST.tsv).
"""

import argparse
import asyncio
import csv
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from statistics import quantiles

import orjson
import psutil
from websockets.asyncio.client import ClientConnection, connect

from advanced_rag.client import ApiError, Client
from benchmarks.machine import describe
from benchmarks.report import put_section
from tests.conftest import make_database
from tests.support.milvus import running_milvus
from tests.support.postgres import running_postgres
from tests.support.service import RunningService, running, working

TOP = 10
UPLOADS = 100
FOLLOWERS = 1000
SHARED_FILES = 60
LIMIT_S = 900.0
MIB = 2**20


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.uploads", description=__doc__)
    parser.add_argument("data", type=Path)
    data: Path = parser.parse_args().data
    parts = {
        "Uploads": lambda: _reports(data / "financebench"),
        "Uploads of many": _crowd,
        "Followers of jobs": _followers,
        "Workers": _workers,
        "Files of every kind": lambda: _files(data / "documents"),
    }
    for title, measure in parts.items():
        lines = [f"Written by `python -m benchmarks.uploads DATA` on {describe()}.", "", *measure()]
        put_section(title, "\n".join(lines))
        print("\n".join(lines), flush=True)


def _reports(folder: Path) -> list[str]:
    """Annual reports: from the upload to the last job ready, memory, and how often the judged page is found."""
    files = sorted((folder / "pdfs").glob("*.pdf"))
    with tempfile.TemporaryDirectory() as data, _service(Path(data)) as (service, client), _peak(service) as peak:
        client.upload([("warm-up.txt", b"Everything is loaded now.")], wait=True)
        started = time.perf_counter()
        with ExitStack() as stack:
            parts = [(path.name, stack.enter_context(path.open("rb"))) for path in files]
            taken = client.upload(parts, [{"id": path.stem} for path in files])["documents"]
        jobs = _ended(client, [item["job_id"] for item in taken])
        elapsed = time.perf_counter() - started
        assert {job["status"] for job in jobs} == {"ready"}, jobs
        pages = sum(_pages(client, path.stem) for path in files)
        memory = max(peak)
        recall, questions = _recall(client, folder)
        chunks = client.status()["chunks"]
    return [
        "| annual reports | figure |",
        "|---|---|",
        f"| pages, chunks | {pages}, {chunks} |",
        f"| from the upload to ready | {elapsed:.1f} s: {pages / elapsed:.1f} pages/s, {chunks / elapsed:.0f} chunks/s |",
        f"| peak memory of the service and its parsers together | {memory / MIB:.0f} MiB |",
        f"| page-level recall@{TOP} | {recall:.3f} ({questions} questions; a page counts when a hit lies on it) |",
    ]


def _pages(client: Client, document_id: str) -> int:
    events = client._http.get(f"/v1/jobs/{_job_of(client, document_id)}/events").text
    told = [orjson.loads(line.removeprefix("data: ")) for line in events.splitlines() if line.startswith("data: ")]
    return next(int(item["data"]["pages"]) for item in told if item["stage"] == "parsed")


def _job_of(client: Client, document_id: str) -> str:
    return next(job["job_id"] for job in client.jobs(limit=200)["jobs"] if job["document_id"] == document_id)


def _recall(client: Client, folder: Path) -> tuple[float, int]:
    judged: dict[str, set[str]] = defaultdict(set)
    with (folder / "qrels.tsv").open(encoding="utf-8") as lines:
        for row in csv.DictReader(lines, delimiter="\t"):
            judged[row["query-id"]].add(row["corpus-id"])
    shares = []
    for line in (folder / "queries.jsonl").read_text(encoding="utf-8").splitlines():
        query = orjson.loads(line)
        wanted = judged.get(query["id"] if "id" in query else query["_id"])
        if wanted:
            hits = client.retrieve(query["text"], top_k=TOP)["hits"]
            found = {f"{hit['document_id']}#p{hit['page'] - 1}" for hit in hits if hit.get("page")}
            shares.append(len(wanted & found) / len(wanted))
    return sum(shares) / len(shares), len(shares)


def _crowd() -> list[str]:
    """A hundred uploads at once, and what somebody who asks meanwhile waits."""
    with tempfile.TemporaryDirectory() as data, _service(Path(data)) as (service, client):
        texts = [f"Report {n}. " + f"The gauge of site {n} shows {n * 7 % 93} units at noon. " * 200 for n in range(UPLOADS)]
        client.ingest([{"id": f"base-{n}", "text": text} for n, text in enumerate(texts[:50])])
        idle = _asked(client, lambda _: False, limit=200)
        statuses: Counter[int] = Counter()
        job_ids: list[str] = []

        def send(number: int) -> None:
            with Client(service.url) as own:
                try:
                    taken = own.upload([(f"{number}.txt", texts[number].encode() + b" Uploaded.")])
                    statuses[202] += 1
                    job_ids.append(taken["documents"][0]["job_id"])
                except ApiError as error:
                    statuses[error.status] += 1
                    if error.retry_after_s is None:
                        raise

        with ThreadPoolExecutor(UPLOADS) as pool:
            sent = [pool.submit(send, number) for number in range(UPLOADS)]
            busy = _asked(client, lambda _: _is_busy(client), limit=5000)
            for item in sent:
                item.result()
        jobs = _ended(client, job_ids)
        assert {job["status"] for job in jobs} <= {"ready"}
    return [
        f"| {UPLOADS} uploads at once | figure |",
        "|---|---|",
        f"| answers | {', '.join(f'{status}: {count}' for status, count in sorted(statuses.items()))} |",
        f"| retrieve p50, p95, idle | {_ms(idle)} |",
        f"| retrieve p50, p95, until the last was ready | {_ms(busy)}: p95 {_p95(busy) / _p95(idle):.1f} x |",
    ]


def _is_busy(client: Client) -> bool:
    jobs = client.status()["jobs"]
    return bool(jobs.get("queued") or jobs.get("running"))


def _asked(client: Client, goes_on, *, limit: int) -> list[float]:
    """Ask one question after the other, at least fifty; return the seconds each took."""
    took = []
    for number in range(limit):
        if number >= 50 and number % 25 == 0 and limit > 200 and not goes_on(number):
            break
        started = time.perf_counter()
        client.retrieve(f"what does the gauge of site {number} show")
        took.append(time.perf_counter() - started)
    return took


def _followers() -> list[str]:
    """A thousand connections that follow jobs, and one upload."""
    with tempfile.TemporaryDirectory() as data:
        limit = str(FOLLOWERS + 10)
        with running(Path(data), RAG_SERVER__WEBSOCKETS_PER_CALLER=limit) as service, Client(service.url) as client:
            client.upload([("warm-up.txt", b"Everything is loaded now.")], wait=True)
            process = psutil.Process(service.process.pid)
            before = process.memory_info().rss
            opened_s, heard_s = asyncio.run(_follow(service.url, client))
            more = process.memory_info().rss - before
    return [
        f"| {FOLLOWERS} connections to `/v1/jobs/ws` | figure |",
        "|---|---|",
        f"| opened in | {opened_s:.1f} s, {more / MIB:.0f} MiB more in the service |",
        f"| from the upload of a text until every one has heard that it is ready | {heard_s:.2f} s |",
    ]


async def _follow(url: str, client: Client) -> tuple[float, float]:
    address = url.replace("http", "ws") + "/v1/jobs/ws"
    async with AsyncExitStack() as stack:
        started = time.perf_counter()
        sockets = []
        for first in range(0, FOLLOWERS, 50):
            more = (stack.enter_async_context(connect(address)) for _ in range(first, min(first + 50, FOLLOWERS)))
            sockets += await asyncio.gather(*more)
        opened_s = time.perf_counter() - started
        started = time.perf_counter()
        await asyncio.to_thread(client.upload, [("heard.txt", b"Everybody hears of this.")])
        await asyncio.gather(*(_until_ready(socket) for socket in sockets))
        return opened_s, time.perf_counter() - started


async def _until_ready(socket: ClientConnection) -> None:
    while orjson.loads(await asyncio.wait_for(socket.recv(), 60))["data"]["status"] != "ready":
        pass


def _workers() -> list[str]:
    """The same files, worked on by one worker and by two, on PostgreSQL."""
    rates = [_rate(count) for count in (1, 2)]
    return [
        "| workers on PostgreSQL | figure |",
        "|---|---|",
        f"| one, two | {rates[0]:.1f}, {rates[1]:.1f} chunks/s: {rates[1] / rates[0]:.2f} x "
        "(each computes on one core; service, PostgreSQL and Milvus share the two) |",
    ]


def _rate(count: int) -> float:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "milvus").mkdir()
        database = make_database(stack.enter_context(running_postgres()).url)
        environment = {
            "RAG_DATABASE__URL": database,
            "RAG_MILVUS__URI": stack.enter_context(running_milvus(folder / "milvus")).url,
            "RAG_UPLOADS__FOLDER": str(folder / "files"),
            "RAG_JOBS__EMBEDDED": "false",
            "RAG_JOBS__INTERVAL_S": "0.1",
            "RAG_ENCODER__THREADS": "1",  # a core for each worker
        }
        service = stack.enter_context(running(folder / "data", **environment))
        client = stack.enter_context(Client(service.url))
        text = "Section {}. " + "The assessors found the bridge in good order and asked for new railings. " * 400
        taken = []
        for start in range(0, SHARED_FILES, 20):
            parts = [(f"{n}.txt", text.format(n).encode()) for n in range(start, start + 20)]
            taken += client.upload(parts)["documents"]
        own = {**environment, "RAG_DATA_DIR": str(folder / "data")}
        for _ in range(count):
            stack.enter_context(working(own))
        jobs = _ended(client, [item["job_id"] for item in taken])
        ends = sorted(datetime.fromisoformat(job["updated_at"]) for job in jobs)
        share = (len(jobs) - 1) / len(jobs)  # from the first end to the last: without the start of the workers
        return float(share * client.status()["chunks"] / (ends[-1] - ends[0]).total_seconds())


def _files(folder: Path) -> list[str]:
    """Files of every kind, each uploaded and followed to its end."""
    with (folder / "MANIFEST.tsv").open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t"))
    ends: dict[str, Counter[str]] = defaultdict(Counter)
    seconds: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as data, _service(Path(data)) as (service, client):
        for row in rows:
            path = folder / row["file"]
            started = time.perf_counter()
            (taken,) = client.upload([(path.name, path.read_bytes())], [{"id": row["file"].replace("/", ":")}])["documents"]
            (job,) = _ended(client, [taken["job_id"]])
            seconds[row["kind"]] += time.perf_counter() - started
            code = job.get("error", {}).get("code", "")
            ends[row["kind"]]["ready" if job["status"] == "ready" else f"{job['status']}: {code}"] += 1
        assert service.faults() == ""
        assert client.verify()["agrees"]
    table = ["| kind | files | ready | failed, by code | s |", "|---|---|---|---|---|"]
    for kind in sorted(ends):
        failed = ", ".join(
            f"{name.removeprefix('failed: ')} {count}" for name, count in sorted(ends[kind].items()) if name != "ready"
        )
        table.append(f"| {kind} | {ends[kind].total()} | {ends[kind]['ready']} | {failed or 'none'} | {seconds[kind]:.1f} |")
    total = sum((count for count in ends.values()), Counter())
    table.append(f"| all | {total.total()} | {total['ready']} | {total.total() - total['ready']} | {seconds.total():.1f} |")
    return table


@contextmanager
def _service(data: Path) -> Iterator[tuple[RunningService, Client]]:
    with running(data) as service, Client(service.url) as client:
        yield service, client


@contextmanager
def _peak(service: RunningService) -> Iterator[list[float]]:
    """Note, five times a second, the memory of the service and of its parsers, without that of Milvus Lite."""
    seen: list[float] = [0.0]
    over = threading.Event()
    root = psutil.Process(service.process.pid)

    def look() -> None:
        while not over.wait(0.2):
            seen.append(sum(_resident(item) for item in [root, *root.children(recursive=True)]))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def _resident(process: psutil.Process) -> int:
    try:
        return 0 if "milvus" in process.name() else int(process.memory_info().rss)
    except psutil.Error:
        return 0


def _ended(client: Client, job_ids: Sequence[str]) -> list[dict]:
    give_up_at = time.monotonic() + LIMIT_S
    jobs = []
    for job_id in job_ids:
        while (job := client.job(job_id))["status"] in {"queued", "running"}:
            assert time.monotonic() < give_up_at, job
            time.sleep(0.05)
        jobs.append(job)
    return jobs


def _p95(took: Sequence[float]) -> float:
    return quantiles(took, n=20)[-1]


def _ms(took: Sequence[float]) -> str:
    return f"{1000 * quantiles(took, n=2)[0]:.1f}, {1000 * _p95(took):.1f} ms"


if __name__ == "__main__":
    main()
