"""The life of a document: its history, what is brought back, and what changes without being embedded again."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from advanced_rag.client import AsyncClient
from advanced_rag.config import AuthSettings
from advanced_rag.exceptions import VectorStoreError
from advanced_rag.models.documents import DEFAULT_TENANT
from advanced_rag.models.identity import ROLES, Principal
from tests.conftest import make_data_dir, make_database
from tests.support.files import make_pdf
from tests.support.live import LiveService
from tests.support.service import INGEST

REQUIRED = AuthSettings(mode="required", secret="s" * 32)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def service(request, tmp_path_factory, prepared_encoders: Path) -> Iterator[LiveService]:
    url = make_database(request.getfixturevalue("postgres")) if request.param == "postgresql" else None
    data_dir = make_data_dir(tmp_path_factory.mktemp("versions") / "data", prepared_encoders)
    with LiveService(data_dir, url, auth=REQUIRED) as live:
        yield live


@pytest.fixture(scope="module")
def ann(service) -> dict[str, str]:
    return service.key(role="writer", user_id="ann")


@pytest.fixture(scope="module")
def ben(service) -> dict[str, str]:
    return service.key(role="writer", user_id="ben")


def ingest(service: LiveService, who: dict[str, str], **document) -> dict:
    answer = service.request("POST", INGEST, headers=who, json={"documents": [document]})
    assert answer.status_code == 200, answer.text
    return answer.json()["documents"][0]


def upload(service: LiveService, who: dict[str, str], name: str, content: bytes, told: str = "[{}]") -> dict:
    parts = [("files", (name, content))]
    answer = service.request("POST", INGEST, headers=who, files=parts, data={"documents": told})
    assert answer.status_code == 200, answer.text
    return answer.json()["documents"][0]


def versions(service: LiveService, who: dict[str, str], key: str) -> list[dict]:
    answer = service.request("GET", f"/v1/documents/{key}/versions", headers=who)
    assert answer.status_code == 200, answer.text
    return answer.json()["versions"]


def restore(service: LiveService, who: dict[str, str], key: str, version: int) -> dict:
    answer = service.request("POST", f"/v1/documents/{key}/versions/{version}/restore?wait=true", headers=who)
    assert answer.status_code == 200, answer.text
    return answer.json()["documents"][0]


def change(service: LiveService, who: dict[str, str], key: str, **changes) -> dict:
    answer = service.request("PATCH", f"/v1/documents/{key}?wait=true", headers=who, json=changes)
    assert answer.status_code == 200, answer.text
    return answer.json()["documents"][0]


def hits(service: LiveService, who: dict[str, str], query: str, **options) -> list[dict]:
    answer = service.request("POST", "/v1/retrieve", headers=who, json={"query": query, "top_k": 50, **options}).json()
    assert answer["degraded"] == []
    return answer["hits"]


def agrees(service: LiveService) -> bool:
    return service.request("POST", "/v1/index/verify", headers=service.key(), json={}).json()["agrees"]


@pytest.fixture
def embedded(service, monkeypatch) -> list[str]:
    """The passages that are embedded during a test."""
    seen: list[str] = []
    for embedder in {service.container.index.semantic, *service.container.index.domains.values()}:
        passages = embedder.passages

        async def counted(texts, passages=passages):
            seen.extend(texts)
            return await passages(texts)

        monkeypatch.setattr(embedder, "passages", counted)
    return seen


def test_the_history_is_told_page_by_page_newest_first(service, ann):
    for n in range(1, 6):
        ingest(service, ann, id="log", title=f"Log {n}", text=f"Entry {n}.", metadata={"n": n})
    seen, cursor = [], ""
    while cursor is not None:
        page = service.request("GET", f"/v1/documents/log/versions?limit=2{cursor}", headers=ann).json()
        seen += page["versions"]
        cursor = f"&cursor={page['next_cursor']}" if "next_cursor" in page else None
    assert [item["version"] for item in seen] == [5, 4, 3, 2, 1]
    assert [item["state"] for item in seen] == ["current", *["superseded"] * 4]
    assert [item["is_current"] for item in seen] == [True, *[False] * 4]
    assert (seen[1]["title"], seen[1]["metadata"], seen[1]["bytes"], seen[1]["chunks"]) == ("Log 4", {"n": 4}, 8, 1)
    assert not any("text" in item or "source" in item for item in seen)
    old = service.request("GET", "/v1/documents/log/versions/2", headers=ann).json()
    assert (old["text"], old["is_current"]) == ("Entry 2.", False)


def test_a_cursor_of_another_listing_is_refused(service, ann):
    ingest(service, ann, id="cursors", text="One.")
    ingest(service, ann, id="cursors-too", text="Two.")
    cursor = service.request("GET", "/v1/documents?limit=1", headers=ann).json()["next_cursor"]
    answer = service.request("GET", f"/v1/documents/cursors/versions?cursor={cursor}", headers=ann)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_cursor")


def test_a_version_that_was_never_visible_has_no_text_and_cannot_be_restored(service, ann, monkeypatch):
    ingest(service, ann, id="failing", text="The first edition.")

    async def fails(*_):
        raise VectorStoreError("down")

    with monkeypatch.context() as patched:
        patched.setattr(service.container.index, "add", fails)
        assert ingest(service, ann, id="failing", text="The second edition.")["status"] == "failed"
    assert [(item["version"], item["state"]) for item in versions(service, ann, "failing")] == [
        (2, "failed"),
        (1, "current"),
    ]
    path = "/v1/documents/failing/versions/2"
    assert service.request("GET", path, headers=ann).status_code == 404
    assert service.request("POST", f"{path}/restore", headers=ann).status_code == 404


def test_an_older_version_is_restored_whole_and_replaces_the_newer_one(service, ann):
    first = {"title": "Rules", "text": "Dogs are kept on a lead.", "metadata": {"v": 1}, "domain": "general"}
    ingest(service, ann, id="rules", **first)
    ingest(service, ann, id="rules", title="No rules", text="Dogs run free.", metadata={"v": 2})
    assert restore(service, ann, "rules", 1) == {"id": "rules", "status": "replaced", "version": 3, "chunks": 1}
    now = service.request("GET", "/v1/documents/rules", headers=ann).json()
    assert {name: now[name] for name in first} == first
    (hit,) = [item for item in hits(service, ann, "are dogs on a lead?", domain="general") if item["document_id"] == "rules"]
    assert (hit["text"], hit["metadata"], set(hit["legs"]) >= {"domain"}) == ("Dogs are kept on a lead.", {"v": 1}, True)
    assert restore(service, ann, "rules", 3)["status"] == "unchanged"
    assert restore(service, ann, "rules", 1)["status"] == "unchanged"
    assert ingest(service, ann, id="rules", **first)["status"] == "unchanged"
    assert agrees(service)


def test_a_restored_version_is_finished_in_the_background_by_a_job(service, ann):
    for text in ("Tea at four.", "Tea at five."):
        ingest(service, ann, id="tea", text=text)
    taken = service.request("POST", "/v1/documents/tea/versions/1/restore", headers=ann)
    assert taken.status_code == 202
    (document,) = taken.json()["documents"]
    assert document["status"] == "queued"
    service.run(service.container.jobs.wait("default", [document["job_id"]], 30))
    assert service.request("GET", "/v1/documents/tea", headers=ann).json()["text"] == "Tea at four."


def test_a_restored_file_keeps_its_pages_and_its_name(service, ann):
    lamps = make_pdf([("Tides", "Spring tides come twice a month."), ("Lamps", "Harbour lamps burn whale oil.")])
    told = '[{"id": "almanac", "metadata": {"year": 1850}}]'
    upload(service, ann, "almanac.pdf", lamps, told)
    upload(service, ann, "other.pdf", make_pdf([("Lamps", "Harbour lamps are electric.")]), told)
    assert restore(service, ann, "almanac", 1)["status"] == "replaced"
    hit = next(item for item in hits(service, ann, "what do harbour lamps burn") if item["document_id"] == "almanac")
    assert (hit["page"], hit["headings"], "whale oil" in hit["text"]) == (2, ["Lamps"], True)
    latest = versions(service, ann, "almanac")[0]["source"]
    assert (latest["name"], latest["media_type"], len(latest["sha256"])) == ("almanac.pdf", "application/pdf", 64)
    assert upload(service, ann, "almanac.pdf", lamps, told)["status"] == "unchanged"


def test_nobody_restores_what_was_deleted_meanwhile(service, ann):
    for text in ("Once.", "Twice."):
        ingest(service, ann, id="gone", text=text)
    document = service.run(service.container.versions.restored(_principal("ann"), "gone", 1))
    service.request("DELETE", "/v1/documents/gone", headers=ann)
    (taken,) = service.run(service.container.ingest.queue(_principal("ann"), [document]))
    assert (taken.status, taken.error_code) == ("failed", "conflict")
    assert service.request("GET", "/v1/documents/gone", headers=ann).status_code == 404


def test_a_new_title_does_not_undo_metadata_that_were_changed_meanwhile(service, ann):
    ingest(service, ann, id="both", text="The tide turns at six.", metadata={"n": 1})
    titled = service.run(service.container.versions.change(_principal("ann"), "both", {"title": "Tides"}))
    assert change(service, ann, "both", metadata={"n": 2})["status"] == "updated"
    (taken,) = service.run(service.container.ingest.queue(_principal("ann"), [titled]))
    assert (taken.status, taken.error_code) == ("failed", "conflict")
    assert service.request("GET", "/v1/documents/both", headers=ann).json()["metadata"] == {"n": 2}


def test_what_was_brought_back_last_wins_over_what_was_on_its_way(service, ann, monkeypatch):
    ingest(service, ann, id="menu", text="Soup.")
    index = service.container.index
    add, answers = index.add, []

    async def meanwhile(*arguments):
        monkeypatch.setattr(index, "add", add)
        path = "/v1/documents/menu/versions/1/restore?wait=true"
        answers.append((await service._http.request("POST", path, headers=ann)).json()["documents"][0])
        await add(*arguments)

    monkeypatch.setattr(index, "add", meanwhile)
    service.request("POST", INGEST, headers=ann, json={"documents": [{"id": "menu", "text": "Stew."}]})
    assert [(item["status"], item["version"]) for item in answers] == [("replaced", 3)]
    assert service.request("GET", "/v1/documents/menu", headers=ann).json()["text"] == "Soup."


def _principal(user_id: str) -> Principal:
    return Principal(DEFAULT_TENANT, user_id, ROLES["writer"])


def test_what_a_document_said_before_it_was_opened_stays_its_owners(service, ann, ben):
    ingest(service, ann, id="diary", text="Ann dislikes Ben.", access={"visibility": "private"})
    ingest(service, ann, id="diary", text="Nothing happened.", access={"visibility": "tenant"})
    ingest(service, ann, id="diary", text="Still nothing.")
    assert [item["version"] for item in versions(service, ben, "diary")] == [3, 2]
    assert [item["version"] for item in versions(service, ann, "diary")] == [3, 2, 1]
    for method, end in (("GET", ""), ("POST", "/restore")):
        path = f"/v1/documents/diary/versions/{{}}{end}"
        hidden, absent = (service.request(method, path.format(number), headers=ben) for number in (1, 99))
        assert hidden.status_code == absent.status_code == 404
        assert hidden.json()["error"]["message"] == absent.json()["error"]["message"]
    assert restore(service, ann, "diary", 1)["status"] == "replaced"
    assert service.request("GET", "/v1/documents/diary", headers=ben).json()["text"] == "Ann dislikes Ben."


def test_rights_that_are_opened_by_themselves_close_the_history_too(service, ann, ben):
    for text in ("A draft nobody should read.", "The final text."):
        ingest(service, ann, id="paper", text=text, access={"visibility": "private"})
    service.request("PUT", "/v1/documents/paper/access", headers=ann, json={"visibility": "tenant"})
    assert [item["version"] for item in versions(service, ben, "paper")] == [2]


def test_a_hidden_document_has_no_history(service, ann, ben):
    ingest(service, ann, id="secret", text="A secret.", access={"visibility": "private"})
    calls = [
        ("GET", "/v1/documents/{}/versions", None),
        ("GET", "/v1/documents/{}/versions/1", None),
        ("POST", "/v1/documents/{}/versions/1/restore", None),
        ("PATCH", "/v1/documents/{}", {"title": "Mine"}),
        ("PATCH", "/v1/documents/{}", {"metadata": {}}),
        ("PUT", "/v1/documents/{}/expiry", {"expires_at": None}),
    ]
    for method, path, body in calls:
        hidden, absent = (service.request(method, path.format(key), headers=ben, json=body) for key in ("secret", "nowhere"))
        assert hidden.status_code == absent.status_code == 404, path
        assert hidden.json()["error"]["message"] == absent.json()["error"]["message"]


@pytest.mark.parametrize("domain", [None, "general"])
def test_new_metadata_hold_at_once_and_nothing_is_embedded(service, ann, embedded, domain):
    key, query = f"boat-{domain}", "where is the spare boat moored?"
    document = {"id": key, "text": "The spare boat is moored at the north jetty.", "domain": domain}
    ingest(service, ann, **document, metadata={"state": "draft", "year": 2020})
    assert embedded
    embedded.clear()
    assert change(service, ann, key, metadata={"state": "final"}) == {
        "id": key,
        "status": "updated",
        "version": 1,
        "chunks": 1,
    }
    for mode in ("hybrid", "semantic", "sparse", *(["domain"] if domain else [])):
        options = {"search_mode": mode, **({"domain": domain} if domain else {})}
        (hit,) = [
            item for item in hits(service, ann, query, filters={"state": "final"}, **options) if item["document_id"] == key
        ]
        assert hit["metadata"] == {"state": "final"}
        for old in ({"state": "draft"}, {"year": {"$exists": True}}):
            found = hits(service, ann, query, filters={**old, "document_id": key}, **options)
            assert found == []
    assert ingest(service, ann, **document, metadata={"state": "final"})["status"] == "unchanged"
    assert change(service, ann, key, metadata={"state": "final"})["status"] == "unchanged"
    assert embedded == []
    assert len(versions(service, ann, key)) == 1
    assert ingest(service, ann, **document, metadata={"state": "draft", "year": 2020})["status"] == "replaced"
    assert agrees(service)


def test_new_rights_embed_nothing_either(service, ann, embedded):
    ingest(service, ann, id="rights", text="The bell rings at noon.")
    embedded.clear()
    service.request("PUT", "/v1/documents/rights/access", headers=ann, json={"visibility": "private"})
    assert embedded == []


def test_a_vector_that_is_not_there_is_embedded_after_all(service, ann, embedded):
    ingest(service, ann, id="holes", text="Moles dig holes in the lawn.")
    index = service.container.index
    (chunk_id,) = (hit["chunk_id"] for hit in hits(service, ann, "moles on the lawn") if hit["document_id"] == "holes")
    index.store.delete(index.generations["semantic"], "default", [chunk_id])
    embedded.clear()
    change(service, ann, "holes", metadata={"seen": True})
    assert len(embedded) == 1
    assert "holes" in {hit["document_id"] for hit in hits(service, ann, "moles on the lawn", search_mode="semantic")}


def test_new_metadata_of_a_file_leave_it_the_file_it_was(service, ann):
    content = make_pdf([("Wells", "The well is nine fathoms deep.")])
    upload(service, ann, "wells.pdf", content, '[{"id": "wells", "metadata": {"a": 1}}]')
    assert change(service, ann, "wells", metadata={"a": 2})["status"] == "updated"
    assert upload(service, ann, "wells.pdf", content, '[{"id": "wells", "metadata": {"a": 2}}]')["status"] == "unchanged"
    assert change(service, ann, "wells", title="Deep wells")["status"] == "replaced"
    told = '[{"id": "wells", "title": "Deep wells", "metadata": {"a": 2}}]'
    assert upload(service, ann, "wells.pdf", content, told)["status"] == "unchanged"


def test_a_new_title_or_domain_makes_a_new_version_of_the_same_text(service, ann):
    document = {"id": "ferry", "text": "It leaves at dawn.", "metadata": {"line": 3}}
    ingest(service, ann, title="Plan", **document)
    assert change(service, ann, "ferry", title="The ferry to Ostend")["version"] == 2
    found = hits(service, ann, "ferry to Ostend", filters={"title": "The ferry to Ostend"})
    assert [item["text"] for item in found] == ["It leaves at dawn."]
    assert change(service, ann, "ferry", domain="general", metadata={"line": 4})["version"] == 3
    (hit,) = hits(service, ann, "ferry to Ostend", domain="general", search_mode="domain", filters={"line": 4})
    assert hit["document_id"] == "ferry"
    same = {**document, "title": "The ferry to Ostend", "metadata": {"line": 4}, "domain": "general"}
    assert ingest(service, ann, **same)["status"] == "unchanged"
    assert change(service, ann, "ferry", domain=None)["version"] == 4
    assert agrees(service)


def test_a_document_is_not_changed_while_a_new_version_is_on_its_way(service, ann, monkeypatch):
    ingest(service, ann, id="race", text="The race begins at ten.")
    index = service.container.index
    add, answers = index.add, []

    async def meanwhile(*arguments):
        monkeypatch.setattr(index, "add", add)
        path = "/v1/documents/race"
        answers.append(await service._http.request("PATCH", path, headers=ann, json={"metadata": {"late": True}}))
        await add(*arguments)

    monkeypatch.setattr(index, "add", meanwhile)
    ingest(service, ann, id="race", text="The race begins at eleven.")
    assert [(answer.status_code, answer.json()["error"]["code"]) for answer in answers] == [(409, "conflict")]
    now = service.request("GET", "/v1/documents/race", headers=ann).json()
    assert (now["text"], now["metadata"]) == ("The race begins at eleven.", {})


def test_metadata_changed_while_the_index_is_told_are_told_again(service, ann, monkeypatch):
    ingest(service, ann, id="twice", text="Geese fly south in autumn.")
    index = service.container.index
    relabel, path = index.relabel, "/v1/documents/twice"

    async def meanwhile(*arguments):
        monkeypatch.setattr(index, "relabel", relabel)
        await service._http.request("PATCH", path, headers=ann, json={"metadata": {"n": 2}})
        await relabel(*arguments)  # what it was asked to write is no longer so

    monkeypatch.setattr(index, "relabel", meanwhile)
    change(service, ann, "twice", metadata={"n": 1})
    found = [hits(service, ann, "geese in autumn", filters={"n": n, "document_id": "twice"}) for n in (1, 2)]
    assert [len(item) for item in found] == [0, 1]


def test_metadata_are_told_to_the_index_when_it_answers_again(service, ann, monkeypatch):
    ingest(service, ann, id="later", text="Swans nest on the island.")

    def fails(*_):
        raise VectorStoreError("down")

    with monkeypatch.context() as patched:
        patched.setattr(service.container.index.store, "upsert", fails)
        assert change(service, ann, "later", metadata={"n": 1})["status"] == "updated"
    assert service.request("GET", "/v1/documents/later", headers=ann).json()["metadata"] == {"n": 1}
    service.run(service.container.worker.release_all())  # as if the lease had run out
    assert agrees(service)  # which runs what is due
    assert len(hits(service, ann, "swans on the island", filters={"n": 1, "document_id": "later"})) == 1


def test_the_client_knows_all_of_this(service):
    key = service.key(user_id="clara")["Authorization"].removeprefix("Bearer ")
    transport = httpx2.ASGITransport(app=service._app)

    async def live() -> list[dict]:
        async with AsyncClient("http://service", key=key, transport=transport) as client:
            for text in ("One owl.", "Two owls."):
                await client.ingest([{"id": "owls", "text": text, "metadata": {"bird": "owl"}}])
            return [
                await client.versions("owls", limit=1),
                await client.version("owls", 1),
                await client.restore("owls", 1),
                await client.change("owls", metadata={"bird": "barn owl"}),
                await client.expire("owls", "2999-01-01T00:00:00Z"),
                await client.delete_where({"bird": "barn owl"}),
                await client.delete_all(),
                await client.delete_where({"bird": "barn owl"}, dry_run=False),
                await client.deleted(limit=1),
            ]

    listed, first, restored, changed, expiring, preview, everything, done, deleted = service.run(live())
    assert (listed["versions"][0]["version"], first["text"]) == (2, "One owl.")
    assert (restored["documents"][0]["status"], changed["documents"][0]["status"]) == ("replaced", "updated")
    assert expiring["expires_at"].startswith("2999-01-01T00:00:00")
    assert (preview["ids"], everything["matched"] >= 1, done["deleted"]) == (["owls"], True, 1)
    assert (deleted["deleted"][0]["id"], deleted["deleted"][0]["version"]) == ("owls", 3)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "body"),
        ({"title": ""}, "title"),
        ({"title": None}, "title"),
        ({"metadata": None}, "metadata"),
        ({"domain": "astrology"}, "domain"),
        ({"metadata": {"x": "y" * 20_000}}, "metadata"),
        ({"text": "new"}, "text"),
    ],
)
def test_a_change_that_cannot_be_is_named(service, ann, body, field):
    answer = service.request("PATCH", "/v1/documents/anything", headers=ann, json=body)
    assert answer.status_code == 422
    assert field in {item["field"] for item in answer.json()["error"]["field_errors"]}
