"""A crowd retrieves all the time while documents come in and the index is built anew, switched, and gone back on."""

import asyncio
from itertools import count

from advanced_rag.config import ReindexSettings
from tests.support.live import LiveService
from tests.support.reindexing import ended, fill, live, word
from tests.support.service import INGEST

KNOWN, CALLERS, MODES = 30, 3, ("hybrid", "semantic", "sparse")


class Crowd:
    """Callers that each ask for documents that are known to be there, and note what is not as it should be."""

    def __init__(self, service: LiveService) -> None:
        self._service = service
        self.known = list(range(KNOWN))
        self.answers = 0
        self.faults: list[str] = []
        self._news = asyncio.Event()

    async def answered(self, number: int) -> None:
        """Wait until so many were answered."""
        while self.answers < number:
            self._news.clear()
            await self._news.wait()

    async def ask_on(self, mine: int) -> None:
        for turn in count(mine):
            number = self.known[turn % len(self.known)]
            query = f"Badger {number} keeps {word(number)} in its sett."
            body = {"query": query, "search_mode": MODES[turn % 3], "top_k": 10}
            (answer,) = await self._service.gather([("POST", "/v1/retrieve", body)])
            self.answers += 1
            self._news.set()
            if answer.status_code != 200 or answer.json()["degraded"]:
                self.faults.append(answer.text)
            elif f"d{number}" not in [hit["document_id"] for hit in answer.json()["hits"]]:
                self.faults.append(f"d{number} is missing in {body['search_mode']}")
            await asyncio.sleep(0.03)

    async def ingest_on(self) -> None:
        for number in count(KNOWN):
            documents = [{"id": f"d{number}", "text": f"Badger {number} keeps {word(number)} in its sett."}]
            (answer,) = await self._service.gather([("POST", INGEST, {"documents": documents})])
            if not answer.is_success:
                self.faults.append(answer.text)
            self.known.append(number)
            await asyncio.sleep(0.2)


async def switch_and_go_back(service: LiveService, crowd: Crowd) -> list[int]:
    """Reindex, go back, and go forth again, while the crowd asks; returns how many had been answered by each step."""
    calls = [crowd.ask_on(n) for n in range(CALLERS)] + [crowd.ingest_on()]
    tasks = [asyncio.create_task(call) for call in calls]
    steps: list[int] = []
    (begun,) = await service.gather([("POST", "/v1/index/reindex", {"kinds": ["all"], "batch_size": 25})])
    assert begun.status_code == 202
    assert (await ended(service))["state"] == "done"
    steps.append(crowd.answers)
    for _ in range(2):
        (answer,) = await service.gather([("POST", "/v1/index/rollback", {})])
        assert answer.status_code == 200
        steps.append(crowd.answers)
        await crowd.answered(steps[-1] + 20)
    for task in tasks:
        task.cancel()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        assert isinstance(outcome, asyncio.CancelledError), outcome
    return steps


def test_nobody_who_asks_meanwhile_sees_an_error_or_misses_a_document(data_dir):
    with LiveService(data_dir, reindex=ReindexSettings(max_slowdown=10)) as service:
        fill(service, KNOWN)
        crowd = Crowd(service)
        steps = service.run(switch_and_go_back(service, crowd))
        assert crowd.faults == []
        assert steps[0] > 20
        assert len(crowd.known) > KNOWN
        assert live(service)["semantic"] == "semantic_g2"
        assert service.post("/v1/index/verify").json()["agrees"]
