"""A lean load generator: blocking connections, one a thread, so that the client costs little beside the service."""

import http.client
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import numpy as np
import orjson

_TIMEOUT_S = 60


@dataclass(frozen=True, slots=True)
class Load:
    """What a run of requests took."""

    requests: int
    seconds: float
    latencies_ms: list[float]

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds

    def percentile(self, share: float) -> float:
        """Return a percentile of the latency, in milliseconds."""
        return float(np.percentile(self.latencies_ms, share))


def retrieve_all(url: str, queries: Sequence[str], *, connections: int, **options: object) -> Load:
    """Send each query once over some connections; raises AssertionError for any answer but a whole one."""
    pending = iter([orjson.dumps({"query": query, **options}) for query in queries])
    lock = threading.Lock()
    latencies: list[float] = []
    failures: list[str] = []

    def work() -> None:
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=_TIMEOUT_S)
        while True:
            with lock:
                body = next(pending, None)
            if body is None:
                return connection.close()
            started = time.perf_counter()
            connection.request("POST", "/v1/retrieve", body, {"content-type": "application/json"})
            response = connection.getresponse()
            answer = response.read()
            latencies.append((time.perf_counter() - started) * 1000)
            if response.status != 200 or b'"degraded":[]' not in answer:
                failures.append(f"{response.status} {answer[:200]!r}")

    started = time.perf_counter()
    threads = [threading.Thread(target=work) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures[:3]
    return Load(len(queries), time.perf_counter() - started, latencies)
