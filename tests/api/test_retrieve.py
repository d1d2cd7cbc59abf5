import pytest

from advanced_rag.config import ServerSettings
from tests.support.live import LiveService
from tests.support.service import INGEST

DOCUMENTS = [
    {
        "id": "boiler",
        "title": "Boiler manual",
        "text": "# Boiler manual\n\n## Pressure\n\nKeep the water pressure between 1.2 and 1.8 bar.\n\n"
        "## Faults\n\nError F28 means that the gas supply is interrupted.",
        "metadata": {"lang": "en", "year": 2021, "tags": ["heating", "manual"]},
        "domain": "general",
    },
    {
        "id": "kessel",
        "title": "Kesselhandbuch",
        "text": "Der Wasserdruck soll zwischen 1,2 und 1,8 bar liegen.",
        "metadata": {"lang": "de", "year": 2019},
    },
    {"id": "bread", "title": "Bread", "text": "Let the dough rest for twelve hours.", "metadata": {"year": 2021}},
]


@pytest.fixture(scope="module", autouse=True)
def documents(service):
    assert service.post(INGEST, documents=DOCUMENTS).status_code == 200


def retrieve(service, query, **options):
    answer = service.post("/v1/retrieve", query=query, **options)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_hit_tells_where_it_comes_from(service):
    answer = retrieve(service, "what does error F28 mean?", explain=True)
    hit = answer["hits"][0]
    assert hit["document_id"] == "boiler"
    assert hit["score_kind"] == "fused"
    assert set(hit["legs"]) == {"semantic", "sparse"}
    assert hit["text"] == DOCUMENTS[0]["text"][hit["start"] : hit["end"]]
    assert hit["explanation"]["final_score"] == hit["score"]
    assert answer["timings_ms"]["total"] > 0
    assert answer["request_id"]


@pytest.mark.parametrize(("mode", "kind"), [("semantic", "cosine"), ("sparse", "bm25"), ("domain", "cosine")])
def test_each_leg_answers_alone(service, mode, kind):
    answer = retrieve(service, "boiler water pressure", search_mode=mode, domain="general")
    assert answer["hits"][0]["document_id"] == "boiler"
    assert {hit["score_kind"] for hit in answer["hits"]} == {kind}
    assert {leg for hit in answer["hits"] for leg in hit["legs"]} == {mode}


@pytest.mark.parametrize("mode", ["visual", "hybrid_visual"])
def test_without_a_model_that_sees_pages_no_pages_are_searched(service, mode):
    answer = service.post("/v1/retrieve", query="boiler", search_mode=mode)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "feature_disabled")


def test_three_legs_run_when_a_domain_is_named(service):
    legs = retrieve(service, "boiler water pressure", domain="general")["hits"][0]["legs"]
    assert set(legs) == {"semantic", "sparse", "domain"}


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"lang": "de"}, {"kessel"}),
        ({"lang": {"$ne": "de"}, "year": {"$gte": 2020}}, {"boiler", "bread"}),
        ({"tags": "heating"}, {"boiler"}),
        ({"lang": {"$exists": False}, "year": 2021}, {"bread"}),
        ({"$or": [{"lang": "de"}, {"tags": {"$in": ["manual"]}}]}, {"kessel", "boiler"}),
        ({"$not": {"year": {"$lt": 2020}}, "year": {"$exists": True}}, {"boiler", "bread"}),
        ({"document_id": "bread"}, {"bread"}),
        ({"lang": 'de" or tenant_id != "'}, set()),
    ],
)
def test_filters_keep_exactly_what_they_say(service, filters, expected):
    answer = retrieve(service, "water pressure", filters=filters, top_k=100)
    assert {hit["document_id"] for hit in answer["hits"]} == expected


def test_mmr_keeps_the_best_hit_first(service):
    plain = retrieve(service, "water pressure of the boiler")
    diverse = retrieve(service, "water pressure of the boiler", mmr=True, mmr_lambda=0.3)
    assert diverse["hits"][0]["chunk_id"] == plain["hits"][0]["chunk_id"]
    assert diverse["hits"][0]["score_kind"] == "mmr"


def test_asking_for_a_reranker_that_is_not_configured_is_said(service):
    assert retrieve(service, "water", rerank=True)["degraded"] == [{"component": "rerank", "reason": "feature_disabled"}]


def test_concurrent_requests_get_their_own_answers(service):
    queries = ["error F28 gas supply", "dough rest hours", "Wasserdruck Kessel"] * 8
    answers = service.together([("POST", "/v1/retrieve", {"query": query, "top_k": 1}) for query in queries])
    best = [answer.json()["hits"][0]["document_id"] for answer in answers]
    assert best == ["boiler", "bread", "kessel"] * 8


def test_a_profile_is_made_only_where_it_is_allowed(service, data_dir):
    refused = service.request("POST", "/v1/retrieve?profile=1", json={"query": "pressure"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "feature_disabled")
    with LiveService(data_dir, server=ServerSettings(profiling=True)) as allowed:
        answer = allowed.request("POST", "/v1/retrieve?profile=1", json={"query": "secret otters"})
    assert answer.headers["content-type"].startswith("text/html")
    assert "pyinstrument" in answer.text
    assert "otters" not in answer.text
