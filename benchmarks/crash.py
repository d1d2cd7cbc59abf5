"""kill -9 in the middle of ingestion, again and again: nothing acknowledged is lost, doubled or half visible."""

import random
import signal
import threading
from dataclasses import dataclass
from pathlib import Path

import httpx2

from advanced_rag.client import Client
from tests.support.service import RunningService, running

DOCUMENTS, BATCH = 200, 10
LONGEST_S = 6.0
_TEXT = "Report {key}: the pressure in line {n} was within its limits. " * 40


@dataclass(frozen=True, slots=True)
class Crashes:
    """What was sent and what was found after the last restart."""

    rounds: int
    acknowledged: int
    visible: int
    verified: int


def kill_again_and_again(data_dir: Path, rounds: int, seed: int = 1) -> Crashes:
    """Kill the service at a random moment of each round; raises AssertionError for any promise that is broken."""
    chance = random.Random(seed)
    acknowledged: set[str] = set()
    verified = 0
    for number in range(rounds):
        with running(data_dir) as service:
            verified += _check(service, acknowledged)
            threading.Timer(chance.uniform(0, LONGEST_S), service.process.send_signal, [signal.SIGKILL]).start()
            acknowledged |= _ingest(service, number)
            service.process.wait()
    with running(data_dir) as service:
        verified += _check(service, acknowledged)
        return Crashes(rounds, len(acknowledged), len(_visible(service)), verified)


def _ingest(service: RunningService, number: int) -> set[str]:
    acknowledged: set[str] = set()
    keys = [f"{number}-{n}" for n in range(DOCUMENTS)]
    with Client(service.url) as client:
        for start in range(0, DOCUMENTS, BATCH):
            documents = [{"id": key, "text": _TEXT.format(key=key, n=number)} for key in keys[start : start + BATCH]]
            try:
                answer = client.ingest(documents)
            except httpx2.TransportError:
                break
            acknowledged |= {item["id"] for item in answer["documents"] if item["status"] == "created"}
    return acknowledged


def _check(service: RunningService, acknowledged: set[str]) -> int:
    with Client(service.url) as client:
        report = client.verify()
        assert report["agrees"], report
    visible = _visible(service)
    assert acknowledged <= set(visible), acknowledged - set(visible)
    assert len(set(visible.values())) <= 1, "some documents have fewer chunks than others of the same length"
    return 1


def _visible(service: RunningService) -> dict[str, int]:
    """Return the chunks of each visible document; each is listed once."""
    found: dict[str, int] = {}
    cursor: str | None = None
    with Client(service.url) as client:
        while page := client.documents(limit=100, cursor=cursor):
            for item in page["documents"]:
                assert item["id"] not in found, "a document is listed twice"
                found[item["id"]] = item["chunks"]
            cursor = page.get("next_cursor")
            if cursor is None:
                return found
    raise AssertionError("a listing ends with a page that has no cursor")
