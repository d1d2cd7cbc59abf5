"""A part that fails is told in the answer; only when nothing is left is it a 503."""

import pytest

from advanced_rag.models.index import SEMANTIC, SPARSE
from tests.support.live import LiveService
from tests.support.service import INGEST

TEXT = "Kingfishers nest in tunnels along the river bank."


def test_a_service_without_documents_finds_nothing_and_nothing_is_amiss(service):
    answer = service.post("/v1/retrieve", query="Where do kingfishers nest?").json()
    assert (answer["hits"], answer["degraded"]) == ([], [])


@pytest.fixture
def birds(service: LiveService) -> LiveService:
    assert service.post(INGEST, documents=[{"id": "birds", "text": TEXT}]).is_success
    return service


def lose(service, *kinds: str) -> None:
    index = service.container.index
    for kind in kinds:
        index.store.drop(index.generations[kind])


@pytest.mark.parametrize(("lost", "left"), [(SPARSE, SEMANTIC), (SEMANTIC, SPARSE)])
def test_the_other_leg_answers(birds, lost, left):
    lose(birds, lost)
    answer = birds.post("/v1/retrieve", query="Where do kingfishers nest?").json()
    assert answer["degraded"] == [{"component": lost, "reason": "vector_store_refused"}]
    assert [(hit["document_id"], list(hit["legs"])) for hit in answer["hits"]] == [("birds", [left])]


def test_without_any_leg_it_is_unavailable_and_never_an_empty_answer(birds):
    lose(birds, SEMANTIC, SPARSE)
    answer = birds.post("/v1/retrieve", query="Where do kingfishers nest?")
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "vector_store_refused"
    assert int(answer.headers["retry-after"]) > 0


def test_a_leg_that_is_asked_for_alone_and_is_lost_is_unavailable(birds):
    lose(birds, SPARSE)
    assert birds.post("/v1/retrieve", query="kingfishers", search_mode="sparse").status_code == 503


def test_chat_passes_on_what_was_missing(birds):
    lose(birds, SPARSE)
    answer = birds.post("/v1/chat", message="Where do kingfishers nest?").json()
    assert answer["answered"] is True
    assert {item["component"] for item in answer["degraded"]} == {SPARSE}


def test_a_document_that_cannot_be_indexed_fails_alone_and_is_not_visible(birds):
    lose(birds, SPARSE)
    (result,) = birds.post(INGEST, documents=[{"id": "fish", "text": "Pike hunt alone."}]).json()["documents"]
    assert (result["status"], result["error"]["code"]) == ("failed", "vector_store_refused")
    assert birds.get("/v1/documents/fish").status_code == 404
