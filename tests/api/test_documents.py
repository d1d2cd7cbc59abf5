from tests.support.live import LiveService
from tests.support.service import INGEST


def ingest(service: LiveService, *documents: dict) -> list[dict]:
    answer = service.post(INGEST, documents=list(documents))
    assert answer.status_code == 200, answer.text
    return answer.json()["documents"]


def found(service: LiveService, query: str, **options) -> list[str]:
    answer = service.post("/v1/retrieve", query=query, top_k=50, **options).json()
    assert answer["degraded"] == []
    return [hit["document_id"] for hit in answer["hits"]]


def test_a_document_is_created_then_unchanged_then_replaced(service):
    document = {"id": "lifecycle", "text": "Otters juggle pebbles on their backs."}
    assert ingest(service, document) == [{"id": "lifecycle", "status": "created", "version": 1, "chunks": 1}]
    assert ingest(service, document)[0]["status"] == "unchanged"
    changed = ingest(service, {**document, "text": "Otters hold hands while they sleep."})
    assert (changed[0]["status"], changed[0]["version"]) == ("replaced", 2)


def test_an_old_version_is_never_found_beside_the_new_one(service):
    ingest(service, {"id": "versions", "text": "The quarterly meeting is on Tuesday in room Saffron."})
    ingest(service, {"id": "versions", "text": "The quarterly meeting is on Friday in room Indigo."})
    hits = service.post("/v1/retrieve", query="quarterly meeting room", top_k=50).json()["hits"]
    texts = [hit["text"] for hit in hits if hit["document_id"] == "versions"]
    assert texts == ["The quarterly meeting is on Friday in room Indigo."]


def test_a_deleted_document_is_gone_from_every_answer(service):
    ingest(service, {"id": "deleted", "text": "Kingfishers nest in tunnels along the river bank."})
    assert "deleted" in found(service, "where do kingfishers nest?")
    assert service.request("DELETE", "/v1/documents/deleted").json()["deleted"] is True
    assert "deleted" not in found(service, "where do kingfishers nest?")
    assert service.get("/v1/documents/deleted").status_code == 404
    assert service.request("DELETE", "/v1/documents/deleted").status_code == 404


def test_a_deleted_document_can_come_back(service):
    document = {"id": "phoenix", "text": "The phoenix rises from its ashes."}
    ingest(service, document)
    service.request("DELETE", "/v1/documents/phoenix")
    assert ingest(service, document)[0]["status"] == "created"
    assert service.get("/v1/documents/phoenix").json()["text"] == document["text"]


def test_documents_are_listed_page_by_page_each_exactly_once(service):
    wanted = {f"page-{n}" for n in range(7)}
    ingest(service, *({"id": key, "text": f"Listing number {key}."} for key in sorted(wanted)))
    seen, cursor = [], ""
    while cursor is not None:
        page = service.get(f"/v1/documents?limit=3{'&cursor=' + cursor if cursor else ''}").json()
        seen += [item["id"] for item in page["documents"]]
        cursor = page.get("next_cursor")
    assert len(seen) == len(set(seen))
    assert wanted <= set(seen)


def test_ingesting_the_same_document_from_two_sides_leaves_one_of_the_two_whole(service):
    texts = [f"Concurrent edition {n} of the harbour rules." for n in range(6)]
    answers = service.together([("POST", INGEST, {"documents": [{"id": "contested", "text": text}]}) for text in texts])
    assert {answer.status_code for answer in answers} == {200}
    assert service.get("/v1/documents/contested").json()["text"] in texts
    hits = service.post("/v1/retrieve", query="harbour rules edition", top_k=50).json()["hits"]
    assert len([hit for hit in hits if hit["document_id"] == "contested"]) == 1


def test_sql_and_milvus_agree_after_all_of_this(service):
    report = service.post("/v1/index/verify").json()
    assert report["agrees"], report
