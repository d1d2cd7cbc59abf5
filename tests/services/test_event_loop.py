"""The event loop stays free while the service works: nothing blocks it."""

import asyncio
import gc
import statistics
import time

from advanced_rag.opening import keep_what_is_loaded
from tests.support.service import INGEST

SENTENCE = "The committee on river maintenance met again and decided nothing about the eels. "
STEP_S = 0.005


async def lags(stop: asyncio.Event) -> list[float]:
    """Measure by how much each wake-up comes late, in seconds."""
    late: list[float] = []
    while not stop.is_set():
        started = time.perf_counter()
        await asyncio.sleep(STEP_S)
        late.append(time.perf_counter() - started - STEP_S)
    return late


def test_it_wakes_up_in_time_while_documents_are_encoded_and_questions_answered(service):
    documents = [{"id": str(n), "text": f"Minutes {n}. " + SENTENCE * 60} for n in range(40)]
    calls = [("POST", INGEST, {"documents": documents})]
    calls += [("POST", "/v1/retrieve", {"query": f"What was decided in meeting {n}?"}) for n in range(30)]

    async def run() -> tuple[list[float], float]:
        stop = asyncio.Event()
        measuring = asyncio.create_task(lags(stop))
        started = time.perf_counter()
        answers = await service.gather(calls)
        elapsed = time.perf_counter() - started
        stop.set()
        assert {answer.status_code for answer in answers} == {200}
        return await measuring, elapsed

    keep_what_is_loaded()  # as at start-up: this process holds more than a service does
    try:
        late, elapsed = service.run(run())
    finally:
        gc.unfreeze()
    # Shares of the run itself, so that a slow machine changes nothing: a loop that waited for the encoder would be
    # stuck for whole batches, and would wake up a few times at all.
    assert len(late) > 20
    assert statistics.median(late) < elapsed / 50
    assert max(late) < elapsed / 4
