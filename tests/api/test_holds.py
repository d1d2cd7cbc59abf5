"""What must stay stays, and what must go is gone from every store, with a receipt."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from advanced_rag.config import AuthSettings
from advanced_rag.exceptions import VectorStoreError
from advanced_rag.storage import tables
from tests.conftest import make_data_dir, make_database
from tests.support.live import LiveService
from tests.support.service import INGEST

REQUIRED = AuthSettings(mode="required", secret="s" * 32, registration="open")
MARK = "zeppelin"


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def service(request, tmp_path_factory, prepared_encoders: Path) -> Iterator[LiveService]:
    url = make_database(request.getfixturevalue("postgres")) if request.param == "postgresql" else None
    data_dir = make_data_dir(tmp_path_factory.mktemp("holds") / "data", prepared_encoders)
    with LiveService(data_dir, url, auth=REQUIRED) as live:
        yield live


@pytest.fixture(scope="module")
def admin(service) -> dict[str, str]:
    return service.key(user_id="admin")


def ingest(service: LiveService, who: dict[str, str], key: str, text: str, **more) -> None:
    answer = service.request("POST", INGEST, headers=who, json={"documents": [{"id": key, "text": text, **more}]})
    assert answer.json()["documents"][0]["status"] in {"created", "replaced"}


def hold(service: LiveService, admin: dict[str, str], **body) -> str:
    made = service.request("POST", "/v1/holds", headers=admin, json={"reason": "case 7", **body})
    assert made.status_code == 201
    return made.json()["id"]


def forget(service: LiveService, admin: dict[str, str], kind: str, target: str):
    return service.request("POST", "/v1/forget", headers=admin, json={"kind": kind, "target": target})


def delete(service: LiveService, who: dict[str, str], path: str) -> tuple[int, str | None]:
    answer = service.request("DELETE", path, headers=who)
    return answer.status_code, answer.json()["error"]["code"] if answer.status_code >= 400 else None


def stored(service: LiveService) -> str:
    """Return every row of every table, but for the audit log and what is kept of holds and receipts."""
    left_out = {"audit_entries", "legal_holds", "receipts"}

    def read(transaction) -> str:
        wanted = [table for name, table in tables.metadata.tables.items() if name not in left_out]
        return str([transaction.connection.execute(select(table)).all() for table in wanted])

    return service.run(service.container.database.read_across(read))


def test_a_held_document_is_neither_deleted_nor_forgotten_until_it_is_released(service, admin):
    ingest(service, admin, "contract", "The contract ends in May.")
    held = hold(service, admin, kind="document", target="contract")
    assert delete(service, admin, "/v1/documents/contract") == (409, "on_hold")
    assert forget(service, admin, "document", "contract").json()["error"]["code"] == "on_hold"
    assert service.request("GET", "/v1/documents/contract", headers=admin).status_code == 200
    assert delete(service, admin, f"/v1/holds/{held}") == (204, None)
    assert delete(service, admin, f"/v1/holds/{held}") == (404, "not_found")
    assert delete(service, admin, "/v1/documents/contract") == (200, None)
    listed = service.request("GET", "/v1/holds", headers=admin).json()["holds"]
    assert next(item for item in listed if item["id"] == held)["released_at"]


def test_what_is_a_held_users_stays(service, admin):
    writer = service.key(role="writer", user_id="held")
    ingest(service, writer, "notes", "Private notes.", access={"visibility": "private"})
    session = service.request("POST", "/v1/sessions", headers=writer, json={"title": "x"}).json()["id"]
    held = hold(service, admin, kind="user", target="held")
    assert delete(service, writer, "/v1/documents/notes") == (409, "on_hold")
    assert delete(service, writer, f"/v1/sessions/{session}") == (409, "on_hold")
    assert forget(service, admin, "user", "held").json()["error"]["code"] == "on_hold"
    delete(service, admin, f"/v1/holds/{held}")
    assert delete(service, writer, f"/v1/sessions/{session}") == (204, None)


def test_a_hold_of_the_tenant_keeps_everything_of_it_and_of_no_other(service):
    first, second = service.key("Held tenant"), service.key("Free tenant")
    for who in (first, second):
        ingest(service, who, "plan", "The plan.")
    hold(service, first, kind="tenant")
    assert delete(service, first, "/v1/documents/plan") == (409, "on_hold")
    assert delete(service, second, "/v1/documents/plan") == (200, None)


def test_a_forgotten_document_is_in_no_store_and_no_conversation(service, admin):
    reader = service.key(role="reader", user_id="reader")
    ingest(service, admin, "airship", f"The {MARK} flies to Lakehurst on Monday.")
    ingest(service, admin, "airship", f"The {MARK} flies to Friedrichshafen on Monday.")
    said = service.request("POST", "/v1/chat", headers=reader, json={"message": f"Where does the {MARK} fly?"}).json()
    assert said["citations"]
    receipt = forget(service, admin, "document", "airship").json()
    assert receipt["removed"]["documents"] == 1
    assert receipt["removed"]["versions"] == 2
    assert receipt["removed"]["answers"] == 1
    assert set(receipt["left"].values()) == {0}
    assert MARK not in stored(service)
    assert service.run(service.container.index.count("default", "airship")) == 0
    hits = service.request("POST", "/v1/retrieve", headers=admin, json={"query": f"Where does the {MARK} fly?"}).json()[
        "hits"
    ]
    assert "airship" not in {hit["document_id"] for hit in hits}
    messages = service.request("GET", f"/v1/sessions/{said['session_id']}/messages", headers=reader).json()["messages"]
    assert [message["content"] for message in messages] == ["[forgotten]"] * 2
    assert service.request("POST", "/v1/index/verify", headers=admin, json={}).json()["agrees"]
    assert forget(service, admin, "document", "airship").status_code == 404


def test_a_forgotten_user_leaves_nothing_that_is_his_alone(service, admin):
    body = {"email": f"{MARK}@example.org", "password": "long enough to be", "name": MARK}
    login = service.post("/v1/auth/register", **body).json()
    user, who = login["user"]["id"], {"Authorization": f"Bearer {login['access_token']}"}
    ingest(service, who, "diary", f"Dear {MARK} diary.", access={"visibility": "private"})
    ingest(service, who, "minutes", "Minutes of the meeting.")
    service.request("POST", "/v1/chat", headers=who, json={"message": f"What about the {MARK}?"})
    receipt = forget(service, admin, "user", user).json()
    assert (receipt["removed"]["documents"], receipt["removed"]["user_users"], receipt["removed"]["user_sessions"]) == (
        1,
        1,
        1,
    )
    assert set(receipt["left"].values()) == {0}
    everything = stored(service)
    assert MARK not in everything
    assert user not in everything
    assert service.request("GET", "/v1/documents/minutes", headers=admin).status_code == 200
    service.container.identities.users._known.clear()
    assert service.request("GET", "/v1/auth/me", headers=who).status_code == 401
    assert service.post("/v1/auth/login", email=body["email"], password=body["password"]).status_code == 401


def test_there_is_a_receipt_while_the_index_does_not_answer_and_it_says_so(service, admin, monkeypatch):
    def fails(*_):
        raise VectorStoreError("down")

    for broken in ("purge", "count"):
        ingest(service, admin, f"while {broken}", "Herons fish at dawn.")
        with monkeypatch.context() as patched:
            patched.setattr(service.container.index.store, broken, fails)
            receipt = forget(service, admin, "document", f"while {broken}").json()
        left = dict(receipt["left"])
        assert left.pop("vectors") == {"purge": 2, "count": None}[broken]
        assert set(left.values()) == {0}
        assert receipt in service.request("GET", "/v1/receipts", headers=admin).json()["receipts"]


def test_a_receipt_is_there_from_the_moment_something_is_forgotten(service, admin, monkeypatch):
    ingest(service, admin, "crash", "Storks nest on chimneys.")

    async def crashes(*_):
        raise RuntimeError("killed")

    before = service.request("GET", "/v1/receipts", headers=admin).json()["receipts"]
    with monkeypatch.context() as patched:
        patched.setattr(service.container.removal, "purge_soon", crashes)
        assert forget(service, admin, "document", "crash").status_code == 500
    newest, *rest = service.request("GET", "/v1/receipts", headers=admin).json()["receipts"]
    assert (rest, newest["removed"]["documents"], set(newest["left"].values())) == (before, 1, {None})


def test_a_forgotten_document_leaves_no_file_that_waits(service, admin, monkeypatch):
    async def later(*_):
        raise VectorStoreError("down")

    monkeypatch.setattr(service.container.index, "add", later)
    parts = {"files": [("files", ("secret.txt", b"Kites hover."))], "data": {"documents": '[{"id": "waiting"}]'}}
    (taken,) = service.request("POST", "/v1/ingest", headers=admin, **parts).json()["documents"]
    file = service.container.files.path("default", taken["job_id"])
    assert file.exists()
    receipt = forget(service, admin, "document", "waiting").json()
    assert (receipt["removed"]["files"], set(receipt["left"].values()), file.exists()) == (1, {0}, False)


def test_an_answer_that_was_being_made_of_a_forgotten_document_is_not_kept(service, admin, monkeypatch):
    reader = service.key(role="reader", user_id="slow reader")
    ingest(service, admin, "crane", f"The {MARK} crane stands in the marsh.")
    add_turn = service.container.sessions.add_turn

    async def meanwhile(*arguments):
        body = {"kind": "document", "target": "crane"}
        answer = await service._http.request("POST", "/v1/forget", headers=admin, json=body)
        assert set(answer.json()["left"].values()) == {0}
        return await add_turn(*arguments)

    monkeypatch.setattr(service.container.sessions, "add_turn", meanwhile)
    said = service.request(
        "POST", "/v1/chat", headers=reader, json={"message": f"Where does the {MARK} crane stand?"}
    ).json()
    assert said["answered"]
    assert MARK not in stored(service)


def test_what_a_held_user_was_answered_is_not_blanked(service, admin):
    reader = service.key(role="reader", user_id="witness")
    ingest(service, admin, "ledger", "The ledger of the mill lists nine sacks of rye.")
    said = service.request(
        "POST", "/v1/chat", headers=reader, json={"message": "What does the ledger of the mill list?"}
    ).json()
    assert said["citations"]
    held = hold(service, admin, kind="user", target="witness")
    assert forget(service, admin, "document", "ledger").json()["error"]["code"] == "on_hold"
    assert service.request("GET", "/v1/documents/ledger", headers=admin).status_code == 200
    delete(service, admin, f"/v1/holds/{held}")
    assert forget(service, admin, "document", "ledger").json()["removed"]["answers"] == 1


def test_a_request_that_is_repeated_after_its_document_was_forgotten_is_answered(service, admin):
    who = {**admin, "Idempotency-Key": "finches"}
    body = {"documents": [{"id": "finches", "text": "Finches sing."}]}
    first = service.request("POST", INGEST, headers=who, json=body).json()["documents"][0]
    assert first["status"] == "created"
    forget(service, admin, "document", "finches")
    again = service.request("POST", INGEST, headers=who, json=body)
    assert (again.status_code, again.json()["documents"][0]["document_id"]) == (202, "finches")
    assert service.request("GET", "/v1/documents/finches", headers=admin).status_code == 404


def test_receipts_of_a_period_are_told_and_name_nobody(service):
    admin = service.key("Reporters", user_id="reporter")
    ingest(service, admin, "memo", "A memo.")
    receipt = forget(service, admin, "document", "memo").json()
    listed = service.request("GET", "/v1/receipts", headers=admin).json()["receipts"]
    assert listed == [receipt]
    assert "memo" not in str(listed)
    assert service.request("GET", "/v1/receipts?until=2020-01-01T00:00:00Z", headers=admin).json()["receipts"] == []


@pytest.mark.parametrize(
    "body", [{"kind": "tenant", "target": "x"}, {"kind": "document"}, {"kind": "planet", "target": "x"}]
)
def test_a_hold_names_what_it_holds(service, admin, body):
    assert service.request("POST", "/v1/holds", headers=admin, json={"reason": "x", **body}).status_code == 422
