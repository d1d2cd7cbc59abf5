"""The index is built anew beside the one that is searched: nothing is lost, and one can go back."""

import asyncio
from datetime import timedelta

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import update

from advanced_rag.config import FeatureSettings, MilvusSettings, ReindexSettings
from advanced_rag.exceptions import VectorStoreError, VectorStoreRefusedError
from advanced_rag.models.index import Generation
from advanced_rag.models.reindex import ReindexOptions
from advanced_rag.services import reindex as reindexing
from advanced_rag.services.pace import Pace
from advanced_rag.services.reconcile import Reconciler
from advanced_rag.storage.ids import document_key
from advanced_rag.storage.reindexes import ReindexRepository
from advanced_rag.storage.tables import reindex_runs
from advanced_rag.telemetry import metrics
from tests.support.live import LiveService
from tests.support.reindexing import ended, fill, found, live, reindex, states, word
from tests.support.service import INGEST

pytestmark = pytest.mark.usefixtures("followed_at_once")

OLD = {"semantic": "semantic_g1", "sparse": "sparse_g1", "domain_general": "domain_general_g1"}
NEW = {kind: name.replace("g1", "g2") for kind, name in OLD.items()}


def agrees(service: LiveService) -> bool:
    return service.post("/v1/index/verify").json()["agrees"]


def test_everything_is_found_in_the_new_generation_and_again_in_the_old_one(service):
    fill(service, 12, domain="general")
    run = reindex(service, kinds=["all"], batch_size=5, verify=True)
    assert (run["state"], run["result"]["switched"]) == ("done", NEW)
    assert set(run["result"]["verified"].values()) == {0}
    assert live(service) == NEW
    assert all(f"d{n}" in found(service, word(n), search_mode="sparse") for n in range(12))
    assert found(service, "What does badger 7 keep?", domain="general")
    assert agrees(service)
    assert service.post("/v1/index/rollback").json()["live"] == OLD
    assert live(service) == OLD
    assert agrees(service)


def test_what_is_written_and_deleted_after_the_switch_is_so_after_going_back(service):
    fill(service, 3)
    reindex(service, kinds=["semantic", "sparse"])
    assert service.post(INGEST, documents=[{"id": "later", "text": "Voles dig flintstone."}]).is_success
    assert service.request("DELETE", "/v1/documents/d1").is_success
    service.post("/v1/index/rollback")
    assert found(service, "flintstone", search_mode="sparse") == ["later"]
    assert found(service, word(1), search_mode="sparse") == []
    assert agrees(service)


def test_a_dry_run_tells_how_many_and_changes_nothing(service):
    fill(service, 4)
    index = service.container.index
    chunk_ids = index.store.between(index.generations["semantic"], "default", "0", "f" * 64)
    index.store.delete(index.generations["semantic"], "default", sorted(chunk_ids)[:3])
    plan = {row["kind"]: row for row in service.post("/v1/index/reindex/plan").json()["kinds"]}
    assert (plan["semantic"]["action"], plan["semantic"]["chunks"], plan["semantic"]["missing"]) == ("mend", 4, 3)
    assert plan["sparse"]["action"] == "nothing"
    named = {row["kind"]: row["action"] for row in service.post("/v1/index/reindex/plan", kinds=["sparse"]).json()["kinds"]}
    assert named == {"sparse": "build"}
    assert not agrees(service)
    assert set(states(service).values()) == {"live"}


def test_without_kinds_only_what_needs_it_is_mended(service):
    fill(service, 4)
    index = service.container.index
    chunk_ids = index.store.between(index.generations["sparse"], "default", "0", "f" * 64)
    index.store.delete(index.generations["sparse"], "default", sorted(chunk_ids)[:2])
    run = reindex(service)
    assert (run["state"], run["result"]["mended"]["sparse"]) == ("done", 2)
    assert live(service) == OLD
    assert agrees(service)


def test_another_analyzer_is_served_until_the_index_is_built_with_it(data_dir):
    with LiveService(data_dir) as service:
        assert service.post(INGEST, documents=[{"id": "run", "text": "Otters were running."}]).is_success
    with LiveService(data_dir, milvus=MilvusSettings(analyzer="standard")) as service:
        assert found(service, "run", search_mode="sparse") == ["run"]
        assert service.container.index.generations["sparse"].encoder == "english"
        assert [
            row["kind"] for row in service.post("/v1/index/reindex/plan").json()["kinds"] if row["action"] == "build"
        ] == ["sparse"]
        assert reindex(service)["result"]["switched"] == {"sparse": "sparse_g2"}
        assert found(service, "run", search_mode="sparse") == []
        assert found(service, "running", search_mode="sparse") == ["run"]
    with LiveService(data_dir, milvus=MilvusSettings(analyzer="standard")) as service:
        assert service.container.index.generations["sparse"].collection == "sparse_g2"


def test_one_run_at_a_time_and_none_is_gone_back_on(service):
    fill(service, 3)
    begun = service.post("/v1/index/reindex", kinds=["sparse", "sparse"], evaluation=EVALUATION)
    assert begun.status_code == 202
    again = service.post("/v1/index/reindex", kinds=["sparse"], evaluation=EVALUATION)
    assert again.json()["id"] == begun.json()["id"]  # a command that was cut off is given once more
    assert service.post("/v1/index/reindex").status_code == 409
    assert service.post("/v1/index/rollback").status_code == 409
    assert service.run(ended(service))["state"] == "done"


def test_two_who_go_back_at_once_go_back_once(service):
    fill(service, 3)
    reindex(service, kinds=["sparse"])
    answers = service.together([("POST", "/v1/index/rollback", {})] * 2)
    assert [answer.json() for answer in answers] == [{"live": {"sparse": "sparse_g1"}}] * 2
    assert live(service)["sparse"] == "sparse_g1"


def test_a_run_for_a_kind_the_settings_no_longer_name_fails(service):
    gone = ReindexOptions(kinds=("domain_gone",))
    service.run(service.container.database.write_across(lambda t: ReindexRepository(t).add("run", gone)))
    run = service.run(ended(service))
    assert (run["state"], run["error"]) == ("failed", "reindex_failed")


def test_a_fault_ends_the_run_and_what_it_built_is_dropped(service, monkeypatch):
    async def fails(*_):
        raise ValueError

    fill(service, 3)
    monkeypatch.setattr(Reconciler, "put", fails)
    run = reindex(service, kinds=["sparse"])
    assert (run["state"], run["error"]) == ("failed", "internal_error")
    assert states(service)["sparse_g2"] == "dropping"
    assert live(service) == OLD


def test_who_lost_a_run_does_not_give_up_what_another_builds(service, monkeypatch):
    fill(service, 3)
    lost = asyncio.Event()

    async def fails(*_):
        taken = update(reindex_runs).values(owner="another")
        await service.container.database.write_across(lambda t: t.connection.execute(taken))
        raise VectorStoreRefusedError("the collection is gone")

    monkeypatch.setattr(Reconciler, "put", fails)
    monkeypatch.setattr(Pace, "end", lambda _: lost.set())
    assert service.post("/v1/index/reindex", kinds=["sparse"]).status_code == 202
    service.run(asyncio.wait_for(lost.wait(), 60))
    assert states(service)["sparse_g2"] == "building"
    assert service.get("/v1/index/reindex").json()["run"]["state"] == "running"


def held(service: LiveService, collection: str, document_id: str) -> int:
    """Return how many chunks of a document a collection holds, in use or not."""
    index = service.container.index
    generation = next(item for item in service.run(all_generations(service)) if item.collection == collection)
    return index.store.count(generation, "default", document_key("default", document_id))


async def all_generations(service: LiveService) -> list[Generation]:
    return [item.generation for item in await service.container.reindex.generations()]


def test_what_is_deleted_goes_from_what_is_still_to_be_dropped(service):
    fill(service, 3)
    for _ in range(2):
        reindex(service, kinds=["sparse"])
    assert states(service)["sparse_g1"] == "dropping"
    assert held(service, "sparse_g1", "d1") == 1
    assert service.request("DELETE", "/v1/documents/d1").json()["receipt"]["left"]["vectors"] == 0
    assert [held(service, "sparse_g1", key) for key in ("d1", "d2")] == [0, 1]


def test_what_is_deleted_goes_from_a_kind_that_is_switched_off(data_dir):
    with LiveService(data_dir) as service:
        fill(service, 3)
    with LiveService(data_dir, features=FeatureSettings(sparse=False)) as service:
        assert service.request("DELETE", "/v1/documents/d1").json()["receipt"]["left"]["vectors"] == 0
        assert [held(service, "sparse_g1", key) for key in ("d1", "d2")] == [0, 1]


def test_who_asks_and_gets_no_answer_is_spared_too(service, monkeypatch):
    def fails(*_, **__):
        raise VectorStoreError("the vector store does not answer")

    fill(service, 3)
    monkeypatch.setattr(service.container.index.store, "search", fails)
    metrics.REINDEX_RESTS.set(0)
    assert service.post("/v1/retrieve", query="badger").status_code == 503
    assert reindex(service, kinds=["sparse"])["state"] == "done"
    assert (REGISTRY.get_sample_value("rag_reindex_rests") or 0) > 0


def test_a_cancelled_run_leaves_nothing_behind(service, monkeypatch):
    monkeypatch.setattr(reindexing, "UNUSED", timedelta(0))
    fill(service, 3)
    assert service.post("/v1/index/reindex", kinds=["semantic"]).status_code == 202
    assert service.post("/v1/index/reindex/cancel").json()["run"]["state"] == "cancelled"
    assert service.post("/v1/index/reindex/cancel").status_code == 409
    service.run(service.container.reindex.sweep())
    assert live(service) == OLD
    assert set(states(service).values()) == {"live"}


@pytest.mark.parametrize("path", ["/v1/index/reindex", "/v1/index/reindex/plan", "/v1/index/rollback"])
def test_a_kind_there_is_none_of_is_refused(service, path):
    answer = service.post(path, kinds=["semantics"])
    assert answer.status_code == 422
    assert answer.json()["error"]["field_errors"][0]["field"] == "kinds"


def test_there_is_nothing_to_go_back_to_before_the_first_run(service):
    assert service.post("/v1/index/rollback").status_code == 409


def test_what_was_replaced_long_ago_is_dropped(data_dir, monkeypatch):
    monkeypatch.setattr(reindexing, "UNUSED", timedelta(0))
    with LiveService(data_dir, reindex=ReindexSettings(keep_retired_hours=0)) as service:
        fill(service, 3)
        old = service.container.index.generations["sparse"]
        reindex(service, kinds=["sparse"])
        service.run(service.container.reindex.sweep())
        service.run(service.container.reindex.sweep())
        assert "sparse_g1" not in states(service)
        assert not service.container.index.store.exists(old)
        assert found(service, word(1), search_mode="sparse") == ["d1"]
        assert service.post("/v1/index/rollback").status_code == 409


EVALUATION = {
    "queries": {str(n): f"What does badger {n} keep? {word(n)}" for n in range(6)},
    "judgments": {str(n): {f"d{n}": 1} for n in range(6)},
}


def test_a_new_generation_that_is_worse_is_not_switched_to_unless_forced(service, monkeypatch):
    fill(service, 6)
    index = service.container.index
    search = index.store.search

    def worse(generation, *arguments, **options):
        answers = search(generation, *arguments, **options)
        return [[] for _ in answers] if generation.number > 1 else answers

    monkeypatch.setattr(index.store, "search", worse)
    run = reindex(service, kinds=["semantic", "sparse"], evaluation=EVALUATION)
    assert (run["state"], run["error"]) == ("failed", "index_worse")
    figures = run["result"]["evaluation"]
    assert figures["before"]["hybrid"]["ndcg"] == 1
    assert figures["after"]["hybrid"]["ndcg"] == 0
    assert live(service) == OLD
    assert states(service)["semantic_g2"] == "building"
    run = reindex(service, kinds=["semantic", "sparse"], evaluation=EVALUATION, force=True)
    assert (run["state"], run["result"]["switched"]) == ("done", {"semantic": "semantic_g2", "sparse": "sparse_g2"})


def test_one_that_is_as_good_is_switched_to(service):
    fill(service, 6)
    run = reindex(service, kinds=["semantic"], evaluation=EVALUATION)
    assert run["state"] == "done"
    assert run["result"]["evaluation"]["before"] == run["result"]["evaluation"]["after"]
