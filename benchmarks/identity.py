"""What it costs to ask who is there, and to let access lists decide: ratios within one run."""

import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import httpx2
import numpy as np

from advanced_rag.api.app import create_app
from advanced_rag.config import AuthSettings, ExamplesSettings, LoggingSettings, Settings
from advanced_rag.container import Container
from advanced_rag.models.documents import DEFAULT_TENANT, DocumentInput
from advanced_rag.models.identity import LOCAL, KeyRequest
from advanced_rag.models.rights import Rights
from advanced_rag.opening import Opening
from advanced_rag.telemetry.logs import logging_to_stderr

DOCUMENTS, GROUPS, MINE, ROUNDS = 10_000, 50, 25, 300
_WORDS = (
    *("pump", "valve", "seal", "filter", "motor", "hose", "gauge", "tank"),
    *("pipe", "sensor", "ferry", "harbour", "invoice", "contract", "holiday", "parking"),
)

Call = Callable[[], Awaitable[object]]


async def medians(calls: Sequence[Call], rounds: int) -> list[float]:
    """Return the median time of each call in milliseconds; the calls take turns, so that all see the same machine."""
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        for call, own in zip(calls, times, strict=True):
            started = time.perf_counter()
            await call()
            own.append((time.perf_counter() - started) * 1000)
    return [statistics.median(own) for own in times]


def measure() -> list[str]:
    """Measure, and return the rows of a table."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_measure(Path(folder)))


async def _measure(folder: Path) -> list[str]:
    settings = Settings(data_dir=folder, auth=AuthSettings(mode="required"), examples=ExamplesSettings(ingest=False))
    async with AsyncExitStack() as stack:
        stack.enter_context(logging_to_stderr(LoggingSettings(level="error")))
        opening = await stack.enter_async_context(Opening(settings))
        open_settings = settings.model_copy(update={"auth": AuthSettings(mode="disabled")})
        anybody = _client(create_app(open_settings, opening))
        known = _client(create_app(settings, opening))
        return [
            await _authentication(opening.container, anybody, known),
            await _foreign_or_missing(opening.container, known),
            await _access_lists(opening.container, known),
        ]


async def _authentication(container: Container, anybody: httpx2.AsyncClient, known: httpx2.AsyncClient) -> str:
    headers = await _key(container, "writer")
    path = "/v1/documents/nothing"
    without, with_key = await medians([lambda: anybody.get(path), lambda: known.get(path, headers=headers)], 2000)
    difference = f"{with_key - without:+.3f} ms ({without:.2f} to {with_key:.2f})"
    return f"| a request with an API key against one without | {difference} |"


async def _foreign_or_missing(container: Container, client: httpx2.AsyncClient) -> str:
    text = "Nobody else may know of this."
    private = DocumentInput("hidden", "Hidden", text, rights=Rights(None, "private"))
    await container.ingest.ingest(LOCAL, [private])
    headers = await _key(container, "reader")
    times: dict[str, list[float]] = {"hidden": [], "absent": []}
    for _ in range(1000):
        for name, own in times.items():
            started = time.perf_counter()
            answer = await client.get(f"/v1/documents/{name}", headers=headers)
            own.append((time.perf_counter() - started) * 1000)
            assert answer.status_code == 404
    ranks = np.argsort(np.argsort([*times["hidden"], *times["absent"]]))
    count = len(times["hidden"])
    area = (ranks[:count].sum() - count * (count - 1) / 2) / count**2
    return f"| a hidden document told from an absent one by the time of its 404 (AUC, 0.5: not at all) | {area:.3f} |"


async def _access_lists(container: Container, client: httpx2.AsyncClient) -> str:
    chance = random.Random(7)
    groups = [f"group {n}" for n in range(GROUPS)]
    await container.ingest.ingest(LOCAL, [_document(n, chance, groups) for n in range(DOCUMENTS)])
    mine = tuple(chance.sample(groups, MINE))
    everything, some = await _key(container, "operator"), await _key(container, "reader", groups=mine)
    queries = [f"{chance.choice(_WORDS)} {chance.choice(_WORDS)} number {n}?" for n in range(2 * ROUNDS)]
    asked = iter(queries)

    def retrieve(headers: dict[str, str]) -> Call:
        return lambda: client.post("/v1/retrieve", json={"query": next(asked)}, headers=headers)

    await medians([retrieve(everything), retrieve(some)], ROUNDS // 10)
    asked = iter(queries)
    without, with_lists = await medians([retrieve(everything), retrieve(some)], ROUNDS)
    ratio = f"{with_lists / without:.2f} times ({without:.1f} to {with_lists:.1f} ms)"
    corpus = f"{DOCUMENTS:,} documents, {GROUPS} groups, {MINE} of them the reader's"
    return f"| retrieval through access lists against one without: {corpus} | {ratio} |"


def _document(n: int, chance: random.Random, groups: list[str]) -> DocumentInput:
    text = f"Note {n}: " + " ".join(chance.choices(_WORDS, k=40)) + "."
    listed = frozenset(chance.sample(groups, chance.randint(1, 3)))
    rights = Rights(None, "group", frozenset(), listed) if n % 2 else None
    return DocumentInput(f"note-{n}", f"Note {n}", text, rights=rights)


def _client(app: object) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://service", timeout=60)  # type: ignore[arg-type]


async def _key(container: Container, role: str, groups: tuple[str, ...] = ()) -> dict[str, str]:
    _, secret = await container.identities.keys.create(DEFAULT_TENANT, KeyRequest("benchmark", role, groups=groups))
    return {"Authorization": f"Bearer {secret}"}


if __name__ == "__main__":
    print("\n".join(measure()))
