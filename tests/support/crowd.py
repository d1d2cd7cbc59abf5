"""A crowd of callers that notes what each call came to."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count

import httpx2

from tests.support.service import INGEST

Call = tuple[str, str, object]

_PATIENCE_S = 30


@dataclass(frozen=True, slots=True)
class Outcome:
    """One call: what was asked, when it began (monotonic) and how long it took, and what came back; status 0 is nothing."""

    path: str
    began: float
    seconds: float
    status: int
    code: str | None
    retry_after: str | None

    @property
    def is_honest(self) -> bool:
        """Whether it is a good answer or a refusal that says when to come back."""
        return 200 <= self.status < 300 or (self.status == 503 and int(self.retry_after or 0) >= 1)


@dataclass(slots=True)
class Crowd:
    """The outcomes so far, and the ids of documents whose ingestion was acknowledged."""

    outcomes: list[Outcome] = field(default_factory=list)
    acknowledged: list[str] = field(default_factory=list)

    def good(self) -> list[Outcome]:
        return [item for item in self.outcomes if 200 <= item.status < 300]


@contextmanager
def crowd(choose: Callable[[], str], callers: int = 8) -> Iterator[Crowd]:
    """Let callers go on asking the service at the URL ``choose`` returns, while the block runs."""
    result, stop, numbers = Crowd(), threading.Event(), count()

    def work(mine: int) -> None:
        with httpx2.Client(timeout=_PATIENCE_S) as client:
            for turn in count(mine):
                if stop.is_set():
                    return
                number = next(numbers)
                _ask(client, choose, _call(turn, number), result)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(callers)]
    for thread in threads:
        thread.start()
    try:
        yield result
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _call(turn: int, number: int) -> Call:
    match turn % 8:
        case 0:
            document = {"id": f"note-{number}", "text": f"Note {number}: kingfishers nest in tunnels."}
            return "POST", INGEST, {"documents": [document]}
        case 1:
            return "GET", "/v1/documents?limit=5", None
        case 2:
            return "POST", "/v1/chat", {"message": f"Where do kingfishers nest? {number}"}
        case _:
            return "POST", "/v1/retrieve", {"query": f"kingfisher tunnels {number}"}


def _ask(client: httpx2.Client, choose: Callable[[], str], call: Call, result: Crowd) -> None:
    _, path, _ = call
    began = time.monotonic()
    status, code, retry_after = 0, None, None
    try:
        answer = _send(client, choose, call)
        status, retry_after = answer.status_code, answer.headers.get("retry-after")
        content = answer.json()
        code = content.get("error", {}).get("code")
        if path == INGEST and status == 200:
            (document,) = content["documents"]
            code = document.get("error", {}).get("code")
            if document["status"] != "failed":
                result.acknowledged.append(document["id"])
    except httpx2.TransportError as error:
        code = type(error).__name__
    result.outcomes.append(Outcome(path, began, time.monotonic() - began, status, code, retry_after))


def _send(client: httpx2.Client, choose: Callable[[], str], call: Call) -> httpx2.Response:
    """Send a request as a balancer does: a connection that is refused was no attempt."""
    method, path, body = call
    give_up_at = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return client.request(method, f"{choose()}{path}", json=body)
        except httpx2.ConnectError:
            if time.monotonic() > give_up_at:
                raise
