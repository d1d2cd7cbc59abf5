"""Runs of reindexing in tests: begun, waited for, looked at."""

import asyncio
from typing import Any

from tests.support.live import LiveService
from tests.support.service import INGEST

_PATIENCE_S = 60.0


def fill(service: LiveService, count: int, **options: Any) -> None:
    """Ingest documents that each have words of their own."""
    documents = [{"id": f"d{n}", "text": f"Badger {n} keeps {word(n)} in its sett.", **options} for n in range(count)]
    assert service.post(INGEST, documents=documents).is_success


def word(number: int) -> str:
    """Return a word that only one document has."""
    return "".join("bcdfghklmn"[int(digit)] + "aeiou"[int(digit) % 5] for digit in f"{number:03}") + "stone"


async def ended(service: LiveService) -> dict[str, Any]:
    """Wait until the run has ended, and return it."""
    async with asyncio.timeout(_PATIENCE_S):
        while True:
            run = await service.container.reindex.latest()
            if run is not None and run.state != "running":
                return {"state": run.state, "error": run.error_code, "result": dict(run.result)}
            await asyncio.sleep(0.05)


def reindex(service: LiveService, **options: Any) -> dict[str, Any]:
    """Reindex, and return the run when it has ended."""
    assert service.post("/v1/index/reindex", **options).status_code == 202
    return service.run(ended(service))


def live(service: LiveService) -> dict[str, str]:
    """Return the collections that are searched."""
    return service.get("/v1/status").json()["collections"]


def states(service: LiveService) -> dict[str, str]:
    """Return the state of every generation."""
    return {item["collection"]: item["state"] for item in service.get("/v1/index/reindex").json()["generations"]}


def found(service: LiveService, query: str, **options: Any) -> list[str]:
    """Return the documents a query finds."""
    answer = service.post("/v1/retrieve", query=query, **options)
    assert answer.status_code == 200, answer.text
    assert answer.json()["degraded"] == []
    return [hit["document_id"] for hit in answer.json()["hits"]]
