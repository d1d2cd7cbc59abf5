"""More requests than can be answered, sent whether or not earlier ones were: what still comes through, and how fast."""

import asyncio
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import numpy as np
import orjson

_MOST_CONNECTIONS = 600
_PATIENCE_S = 20
_Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(slots=True)
class Flood:
    """The latencies of answers in milliseconds, and the statuses of the rest; 0 where nothing came."""

    seconds: float
    latencies_ms: list[float] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)

    @property
    def goodput(self) -> float:
        """Answers a second."""
        return len(self.latencies_ms) / self.seconds

    def p95(self) -> float:
        """Return the 95th percentile of the latency of answers, in milliseconds."""
        return float(np.percentile(self.latencies_ms, 95))


def flood(url: str, queries: Sequence[str], *, per_second: float, seconds: float) -> Flood:
    """Send queries at random moments, ``per_second`` on average."""
    return asyncio.run(_Sender(url).send(queries, per_second, seconds))


class _Sender:
    def __init__(self, url: str) -> None:
        place = urlsplit(url)
        self._host, self._port = place.hostname, place.port
        self._idle: list[_Connection] = []
        self._slots = asyncio.Semaphore(_MOST_CONNECTIONS)

    async def send(self, queries: Sequence[str], per_second: float, seconds: float) -> Flood:
        result = Flood(seconds)
        started = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for at, query in zip(_moments(per_second, seconds), _without_end(queries), strict=False):
                await asyncio.sleep(started + at - time.perf_counter())
                tasks.create_task(self._ask(query, result))
        for _, writer in self._idle:
            writer.close()
        return result

    async def _ask(self, query: str, result: Flood) -> None:
        body = orjson.dumps({"query": query})
        head = (
            f"POST /v1/retrieve HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        started = time.perf_counter()
        status = 0
        async with self._slots:
            try:
                async with asyncio.timeout(_PATIENCE_S):
                    status = await self._exchange(head.encode() + body)
            except (OSError, TimeoutError, asyncio.IncompleteReadError):
                pass
        if status == 200:
            result.latencies_ms.append((time.perf_counter() - started) * 1000)
        else:
            result.refused.append(status)

    async def _exchange(self, request: bytes) -> int:
        reader, writer = self._idle.pop() if self._idle else await asyncio.open_connection(self._host, self._port)
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r")[0]
        await reader.readexactly(int(length))
        self._idle.append((reader, writer))
        return int(head.split(maxsplit=2)[1])


def _moments(per_second: float, seconds: float) -> Iterator[float]:
    """Yield the moments of a Poisson process."""
    chance = random.Random(0)
    at = chance.expovariate(per_second)
    while at < seconds:
        yield at
        at += chance.expovariate(per_second)


def _without_end(queries: Sequence[str]) -> Iterator[str]:
    """Yield queries that are all different: none is answered from a cache."""
    round_ = 0
    while True:
        yield from (f"{query} {round_}" for query in queries)
        round_ += 1
