"""What is deleted leaves a receipt and a tombstone; what a filter matches goes at once; old things go in their time."""

import asyncio
import itertools
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select, update

from advanced_rag.config import AuthSettings, DocumentSettings, JobSettings
from advanced_rag.exceptions import VectorStoreError
from advanced_rag.models.documents import DEFAULT_TENANT
from advanced_rag.services import retention
from advanced_rag.storage import tables
from tests.conftest import make_data_dir, make_database
from tests.support.live import LiveService
from tests.support.service import INGEST

REQUIRED = AuthSettings(mode="required", secret="s" * 32)
KEPT = DocumentSettings(keep_versions=2, version_days=30, tombstone_days=60)
NUMBERS = itertools.count()
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def service(request, tmp_path_factory, prepared_encoders: Path) -> Iterator[LiveService]:
    url = make_database(request.getfixturevalue("postgres")) if request.param == "postgresql" else None
    data_dir = make_data_dir(tmp_path_factory.mktemp("deletion") / "data", prepared_encoders)
    with LiveService(data_dir, url, auth=REQUIRED, documents=KEPT, jobs=JobSettings(embedded=False)) as live:
        yield live


@pytest.fixture(scope="module")
def ann(service) -> dict[str, str]:
    return service.key(user_id="ann")


@pytest.fixture
def tenant(service) -> dict[str, str]:
    """The administrator of a tenant that has nothing yet."""
    return service.key(f"Tenant {next(NUMBERS)}", user_id="ann")


def ingest(service: LiveService, who: dict[str, str], *documents: dict) -> None:
    answer = service.request("POST", INGEST, headers=who, json={"documents": list(documents)})
    assert {item["status"] for item in answer.json()["documents"]} <= {"created", "replaced"}, answer.text


def delete(service: LiveService, who: dict[str, str], key: str) -> dict:
    answer = service.request("DELETE", f"/v1/documents/{key}", headers=who)
    assert answer.status_code == 200, answer.text
    return answer.json()


def delete_all(service: LiveService, who: dict[str, str], **body: Any) -> dict:
    answer = service.request("POST", "/v1/documents/delete", headers=who, json={"dry_run": False, **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


def there(service: LiveService, who: dict[str, str]) -> set[str]:
    listed = service.request("GET", "/v1/documents?limit=200", headers=who).json()["documents"]
    return {item["id"] for item in listed}


def found(service: LiveService, who: dict[str, str], query: str) -> set[str]:
    answer = service.request("POST", "/v1/retrieve", headers=who, json={"query": query, "top_k": 50}).json()
    return {hit["document_id"] for hit in answer["hits"]}


def tombstones(service: LiveService, who: dict[str, str]) -> list[dict]:
    return service.request("GET", "/v1/documents?deleted=true", headers=who).json()["deleted"]


def hold(service: LiveService, who: dict[str, str], kind: str, target: str | None = None) -> str:
    body = {"kind": kind, "reason": "case 7", **({"target": target} if target else {})}
    return service.request("POST", "/v1/holds", headers=who, json=body).json()["id"]


def sweep(service: LiveService) -> None:
    service.run(service.container.worker._housekeeping.run())


def set_column(service: LiveService, table: Any, values: dict[str, Any], **where: Any) -> None:
    conditions = [table.c[name] == value for name, value in where.items()]
    service.run(
        service.container.database.write_across(
            lambda t: t.connection.execute(update(table).where(*conditions).values(values))
        )
    )


def test_a_deletion_proves_that_no_store_has_the_document(service, ann):
    for text in ("Rooks nest in the elms.", "Rooks nest in the tall elms by the church."):
        ingest(service, ann, {"id": "rooks", "text": text, "domain": "general", "access": {"visibility": "private"}})
    answer = delete(service, ann, "rooks")
    receipt = answer["receipt"]
    assert (answer["id"], answer["deleted"], receipt["state"]) == ("rooks", True, "done")
    assert receipt["removed"] == {"documents": 1, "versions": 2, "chunks": 1, "pages": 0, "access": 1, "files": 0}
    assert receipt["left"] == dict.fromkeys((*receipt["removed"], "vectors"), 0)
    assert service.run(service.container.index.count(DEFAULT_TENANT, "rooks")) == 0
    assert "rooks" not in found(service, ann, "where do rooks nest?")


def test_a_deletion_says_so_while_the_index_cannot_be_purged(service, ann, monkeypatch):
    ingest(service, ann, {"id": "crows", "text": "Crows are clever."})

    def fails(*_):
        raise VectorStoreError("down")

    for broken in ("purge", "count"):
        ingest(service, ann, {"id": broken, "text": f"Crows are clever, {broken}."})
        with monkeypatch.context() as patched:
            patched.setattr(service.container.index.store, broken, fails)
            receipt = delete(service, ann, broken)["receipt"]
        assert (receipt["state"], receipt["left"]["documents"]) == ("pending", 0)
        assert receipt["left"]["vectors"] == {"purge": 2, "count": None}[broken]
        assert broken not in found(service, ann, "clever crows")
    service.run(service.container.worker.release_all())
    assert service.request("POST", "/v1/index/verify", headers=ann, json={}).json()["agrees"]
    assert service.run(service.container.index.count(DEFAULT_TENANT, "purge")) == 0


def test_what_was_on_its_way_ends_with_its_document(service, ann):
    ingest(service, ann, {"id": "coming", "text": "The first edition."})
    parts = {"files": [("files", ("more.txt", b"The second edition."))], "data": {"documents": '[{"id": "coming"}]'}}
    (taken,) = service.request("POST", "/v1/ingest", headers=ann, **parts).json()["documents"]
    file = service.container.files.path(DEFAULT_TENANT, taken["job_id"])
    assert file.exists()
    receipt = delete(service, ann, "coming")["receipt"]
    assert (receipt["state"], receipt["removed"]["files"], receipt["left"]["files"]) == ("done", 1, 0)
    assert not file.exists()
    job = service.request("GET", f"/v1/jobs/{taken['job_id']}", headers=ann).json()
    assert (job["status"], job["error"]["code"]) == ("failed", "superseded")
    assert service.run(service.container.worker.run_due()) == 0
    assert "coming" not in there(service, ann)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("DELETE", "/v1/documents/owl", None),
        ("POST", "/v1/documents/delete", {"filters": {"document_id": "owl"}, "dry_run": False}),
        ("POST", "/v1/forget", {"kind": "document", "target": "owl"}),
    ],
)
def test_what_a_worker_wrote_after_a_deletion_and_before_it_was_lost_goes_too(service, ann, monkeypatch, method, path, body):
    ingest(service, ann, {"id": "owl", "text": "The owl hunts at night."})
    taken = service.request("POST", "/v1/ingest", headers=ann, json={"documents": [{"id": "owl", "text": "It sleeps."}]})
    assert taken.status_code == 202
    index = service.container.index
    add = index.add

    async def late(*arguments):
        assert (await service._http.request(method, path, headers=ann, json=body)).status_code == 200
        await add(*arguments)
        raise asyncio.CancelledError

    monkeypatch.setattr(index, "add", late)
    with pytest.raises(asyncio.CancelledError):
        service.run(service.container.worker.run_due())
    assert service.run(index.count(DEFAULT_TENANT, "owl")) > 0
    set_column(service, tables.jobs, {"run_after": 0.0}, state="queued")  # as if time had passed
    service.run(service.container.worker.run_due())
    assert service.run(index.count(DEFAULT_TENANT, "owl")) == 0


def test_a_tombstone_tells_who_when_and_which_version(service, tenant):
    before = datetime.now(UTC)
    for text in ("One.", "Two."):
        ingest(service, tenant, {"id": "plan", "text": text}, {"id": f"other {text}", "text": text})
    delete(service, tenant, "other One.")
    delete(service, tenant, "plan")
    first, second = tombstones(service, tenant)
    assert (first["id"], first["version"], first["deleted_by"]) == ("plan", 2, "ann")
    assert before <= datetime.fromisoformat(second["deleted_at"]) <= datetime.fromisoformat(first["deleted_at"])
    page = service.request("GET", "/v1/documents?deleted=true&limit=1", headers=tenant).json()
    rest = service.request("GET", f"/v1/documents?deleted=true&cursor={page['next_cursor']}", headers=tenant).json()
    assert [item["id"] for item in (*page["deleted"], *rest["deleted"])] == ["plan", "other One."]
    assert "plan" not in {item["id"] for item in tombstones(service, service.key("Somebody else"))}
    ingest(service, tenant, {"id": "plan", "text": "Three."})
    assert {item["id"] for item in tombstones(service, tenant)} == {"other One."}


def test_tombstones_are_for_who_may_see_the_audit_log(service):
    writer = service.key(role="writer", user_id="writer")
    refused = service.request("GET", "/v1/documents?deleted=true", headers=writer)
    assert (refused.status_code, refused.json()["error"]["details"]) == (403, {"scope": "admin:audit"})


def test_forgetting_takes_the_tombstones_too(service, tenant):
    ingest(service, tenant, {"id": "mine", "text": "Mine."}, {"id": "other", "text": "Other."})
    delete(service, tenant, "mine")
    service.request("POST", "/v1/forget", headers=tenant, json={"kind": "document", "target": "other"})
    service.request("POST", "/v1/forget", headers=tenant, json={"kind": "user", "target": "ann"})
    assert [(item["id"], item.get("deleted_by")) for item in tombstones(service, tenant)] == [("mine", None)]


def test_the_floor_outlives_the_tombstone(service, tenant):
    ingest(service, tenant, {"id": "phoenix", "text": "The phoenix rises."})
    delete(service, tenant, "phoenix")
    set_column(service, tables.documents, {"deleted_at": LONG_AGO}, id="phoenix")
    sweep(service)
    assert tombstones(service, tenant) == []
    answer = service.request("POST", INGEST, headers=tenant, json={"documents": [{"id": "phoenix", "text": "It rises."}]})
    assert (answer.json()["documents"][0]["status"], answer.json()["documents"][0]["version"]) == ("created", 2)


def test_superseded_versions_are_kept_as_many_and_as_long_as_the_settings_say(service, tenant):
    for n in range(1, 6):
        ingest(service, tenant, *({"id": key, "text": f"Edition {n} of {key}."} for key in ("book", "held")))
    held = hold(service, tenant, "document", "held")
    sweep(service)
    assert kept_versions(service, tenant, "book") == [5, 4, 3]
    assert kept_versions(service, tenant, "held") == [5, 4, 3, 2, 1]
    set_column(service, tables.document_versions, {"superseded_at": LONG_AGO}, document_id="book", version=4)
    sweep(service)
    assert kept_versions(service, tenant, "book") == [5, 3]
    service.request("DELETE", f"/v1/holds/{held}", headers=tenant)
    sweep(service)
    assert kept_versions(service, tenant, "held") == [5, 4, 3]
    assert service.request("POST", "/v1/index/verify", headers=tenant, json={}).json()["agrees"]


def kept_versions(service: LiveService, who: dict[str, str], key: str) -> list[int]:
    listed = service.request("GET", f"/v1/documents/{key}/versions", headers=who).json()["versions"]
    return [item["version"] for item in listed]


def test_versions_that_were_never_visible_go_with_their_jobs(service, tenant, monkeypatch):
    ingest(service, tenant, {"id": "book", "text": "The first edition."})

    async def fails(*_):
        raise VectorStoreError("down")

    with monkeypatch.context() as patched:
        patched.setattr(service.container.index, "add", fails)
        service.request("POST", INGEST, headers=tenant, json={"documents": [{"id": "book", "text": "The second."}]})
    sweep(service)
    assert kept_versions(service, tenant, "book") == [2, 1]
    set_column(service, tables.document_versions, {"created_at": LONG_AGO}, document_id="book")
    sweep(service)
    assert kept_versions(service, tenant, "book") == [1]


def test_a_document_that_expires_is_deleted_and_nothing_else_is(service, tenant):
    ingest(service, tenant, *({"id": key, "text": f"Offer {key}."} for key in ("due", "later", "held", "free")))
    for key, moment in (("due", LONG_AGO), ("held", LONG_AGO), ("later", datetime.now(UTC) + timedelta(days=1))):
        answer = expire(service, tenant, key, moment.isoformat())
        assert answer.status_code == 200
        told = service.request("GET", f"/v1/documents/{key}", headers=tenant).json()["expires_at"]
        assert datetime.fromisoformat(told) == moment
    held = hold(service, tenant, "document", "held")
    sweep(service)
    assert there(service, tenant) == {"later", "held", "free"}
    assert [(item["id"], item.get("deleted_by")) for item in tombstones(service, tenant)] == [("due", None)]
    expire(service, tenant, "held", None)
    service.request("DELETE", f"/v1/holds/{held}", headers=tenant)
    sweep(service)
    assert there(service, tenant) == {"later", "held", "free"}
    assert service.request("POST", "/v1/index/verify", headers=tenant, json={}).json()["agrees"]


def test_however_much_is_due_some_of_everything_goes_each_time(service, tenant, monkeypatch):
    monkeypatch.setattr(retention, "_LONGEST_S", 0.0)
    ingest(service, tenant, {"id": "due", "text": "Due."})
    for n in range(1, 5):
        ingest(service, tenant, {"id": "book", "text": f"Edition {n}."})
    expire(service, tenant, "due", LONG_AGO.isoformat())
    sweep(service)
    assert there(service, tenant) == {"book"}
    assert kept_versions(service, tenant, "book") == [4, 3, 2]


def expire(service: LiveService, who: dict[str, str], key: str, moment: str | None) -> Any:
    return service.request("PUT", f"/v1/documents/{key}/expiry", headers=who, json={"expires_at": moment})


@pytest.mark.parametrize("moment", ["tomorrow", "2026-01-01T00:00:00", 7])
def test_an_expiry_is_a_moment(service, ann, moment):
    assert expire(service, ann, "anything", moment).status_code == 422


@pytest.mark.parametrize("kind", ["user", "tenant"])
def test_a_hold_of_the_owner_or_the_tenant_keeps_what_is_due(service, tenant, kind):
    ingest(service, tenant, {"id": "due", "text": "Due."})
    expire(service, tenant, "due", LONG_AGO.isoformat())
    hold(service, tenant, kind, "ann" if kind == "user" else None)
    sweep(service)
    assert there(service, tenant) == {"due"}


def test_what_a_filter_matches_is_counted_first_and_then_deleted(service, tenant):
    ingest(service, tenant, *({"id": f"n{n}", "text": f"Number {n}.", "metadata": {"n": n}} for n in range(10)))
    wanted = {"filters": {"n": {"$lt": 4}}}
    preview = service.request("POST", "/v1/documents/delete", headers=tenant, json=wanted).json()
    assert preview.pop("request_id")
    assert preview == {
        "dry_run": True,
        "matched": 4,
        "deleted": 0,
        "held": 0,
        "pending": 0,
        "ids": ["n0", "n1", "n2", "n3"],
        "complete": True,
    }
    assert len(there(service, tenant)) == 10
    done = delete_all(service, tenant, **wanted)
    assert (done["matched"], done["deleted"], done["complete"]) == (4, 4, True)
    assert there(service, tenant) == {f"n{n}" for n in range(4, 10)}
    again = delete_all(service, tenant, **wanted)
    assert (again["matched"], again["deleted"], again["complete"]) == (0, 0, True)
    assert service.request("POST", "/v1/index/verify", headers=tenant, json={}).json()["agrees"]
    assert {item["deleted_by"] for item in tombstones(service, tenant)} == {"ann"}


def test_a_limit_is_kept_and_the_same_request_goes_on(service, tenant):
    ingest(service, tenant, *({"id": f"n{n}", "text": f"Number {n}."} for n in range(7)))
    hold(service, tenant, "document", "n0")
    answers = [delete_all(service, tenant, all=True, limit=3) for _ in range(3)]
    assert [answer["deleted"] for answer in answers] == [3, 3, 0]
    assert [answer["complete"] for answer in answers] == [False, True, True]
    assert answers[-1]["held"] == 1
    assert there(service, tenant) == {"n0"}


def test_nobody_deletes_what_he_does_not_see(service, tenant):
    other = service.key("test_nobody_deletes", role="writer", user_id="ben")
    owner = service.key("test_nobody_deletes", role="writer", user_id="ann")
    private = {"visibility": "private"}
    ingest(service, owner, {"id": "hers", "text": "Hers.", "access": private}, {"id": "ours", "text": "Ours."})
    ingest(service, other, {"id": "his", "text": "His.", "access": private})
    ingest(service, tenant, {"id": "elsewhere", "text": "Elsewhere."})
    assert delete_all(service, other, all=True)["deleted"] == 2
    assert there(service, owner) == {"hers"}
    assert there(service, tenant) == {"elsewhere"}


def test_vectors_that_could_not_be_purged_are_counted(service, tenant, monkeypatch):
    ingest(service, tenant, *({"id": f"n{n}", "text": f"Number {n}."} for n in range(3)))

    def fails(*_):
        raise VectorStoreError("down")

    with monkeypatch.context() as patched:
        patched.setattr(service.container.index.store, "purge", fails)
        done = delete_all(service, tenant, all=True)
    assert (done["deleted"], done["pending"]) == (3, 3)
    assert there(service, tenant) == set()


@pytest.mark.parametrize(
    "body", [{}, {"filters": {}}, {"filters": {"a": 1}, "all": True}, {"all": True, "limit": 0}, {"filters": {"$bad": 1}}]
)
def test_nothing_is_deleted_by_a_request_that_does_not_say_what(service, ann, body):
    answer = service.request("POST", "/v1/documents/delete", headers=ann, json={"dry_run": False, **body})
    assert answer.status_code == 422


VALUES = st.sampled_from([0, 1, 2.5, "a", "b", "1", True, None])
METADATA = st.dictionaries(st.sampled_from(["x", "y"]), VALUES | st.lists(VALUES, max_size=2), max_size=2)
EQUALS = st.builds(
    lambda key, value: {key: value}, st.sampled_from(["x", "y"]), VALUES.filter(lambda value: value is not None)
)
EXISTS = st.builds(lambda key, flag: {key: {"$exists": flag}}, st.sampled_from(["x", "y"]), st.booleans())
BELOW = st.builds(lambda key, bound: {key: {"$lt": bound}}, st.sampled_from(["x", "y"]), st.sampled_from([1, 3, "b"]))
LEAVES = EQUALS | EXISTS | BELOW
FILTERS = st.recursive(
    LEAVES,
    lambda inner: (
        st.builds(lambda parts: {"$or": parts}, st.lists(inner, min_size=1, max_size=2))
        | st.builds(lambda part: {"$not": part}, inner)
    ),
    max_leaves=3,
)


def plain(condition: dict, metadata: dict) -> bool:
    """Evaluate a filter of those above: the model."""
    ((key, wanted),) = condition.items()
    if key == "$or":
        return any(plain(part, metadata) for part in wanted)
    if key == "$not":
        return not plain(wanted, metadata)
    value = metadata.get(key)
    if not isinstance(wanted, dict):
        members = value if isinstance(value, list) else [value]
        return any(item == wanted and (type(item) is bool) == (type(wanted) is bool) for item in members)
    if "$exists" in wanted:
        return (value is not None) == wanted["$exists"]
    bound = wanted["$lt"]
    is_like = isinstance(value, str) if isinstance(bound, str) else isinstance(value, int | float)
    return is_like and not isinstance(value, bool) and value < bound


@settings(max_examples=25)
@given(documents=st.lists(METADATA, min_size=1, max_size=6), condition=FILTERS, held=st.sets(st.integers(0, 5), max_size=2))
def test_exactly_what_a_filter_means_is_deleted(service, documents, condition, held):
    admin = service.key("Property", user_id="ann")
    delete_all(service, admin, all=True)
    ingest(service, admin, *({"id": f"d{n}", "text": "Wrens.", "metadata": item} for n, item in enumerate(documents)))
    holds = [hold(service, admin, "document", f"d{n}") for n in held]
    matching = {f"d{n}" for n, item in enumerate(documents) if plain(condition, item)}
    kept = matching & {f"d{n}" for n in held}
    body = {"filters": condition}
    preview = service.request("POST", "/v1/documents/delete", headers=admin, json=body).json()
    done = delete_all(service, admin, **body)
    left = there(service, admin)
    for item in holds:
        service.request("DELETE", f"/v1/holds/{item}", headers=admin)
    assert (set(done["ids"]), set(preview["ids"])) == (matching - kept, matching - kept), json.dumps(condition)
    assert (done["matched"], done["held"], preview["matched"]) == (len(matching), len(kept), len(matching))
    assert left == {f"d{n}" for n in range(len(documents))} - (matching - kept)


def test_the_database_has_no_text_of_what_was_deleted(service, tenant):
    mark = "quagga"
    ingest(service, tenant, {"id": "zoo", "text": f"The {mark} is striped.", "metadata": {"animal": mark}})
    ingest(service, tenant, {"id": "zoo", "text": f"The {mark} is half striped."})
    delete(service, tenant, "zoo")
    rows = [
        str(row)
        for table in tables.metadata.sorted_tables
        for row in service.run(
            service.container.database.read_across(lambda t, table=table: t.connection.execute(select(table)).all())
        )
    ]
    assert not [row for row in rows if mark in row]
