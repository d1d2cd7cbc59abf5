"""The audit log: who did what to which id, in a chain that shows when it was tampered with."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from advanced_rag.config import AuditSettings, AuthSettings
from advanced_rag.models.audit import BEGINNING, Deed, chain, first_break
from advanced_rag.storage.audit import AuditRepository
from advanced_rag.storage.tables import now
from tests.conftest import make_data_dir, make_database
from tests.support.live import LiveService
from tests.support.service import INGEST

REQUIRED = AuthSettings(mode="required", secret="s" * 32, registration="open")
SECRET = b"secret"


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def service(request, tmp_path_factory, prepared_encoders: Path) -> Iterator[LiveService]:
    url = make_database(request.getfixturevalue("postgres")) if request.param == "postgresql" else None
    data_dir = make_data_dir(tmp_path_factory.mktemp("audit") / "data", prepared_encoders)
    with LiveService(data_dir, url, auth=REQUIRED) as live:
        yield live


def entries(service: LiveService, admin: dict[str, str], query: str = "") -> list[dict]:
    return service.request("GET", f"/v1/audit{query}", headers=admin).json()["entries"]


def test_what_was_done_is_written_down_without_contents(service):
    admin = service.key("Writers", user_id="ann")
    document = {"id": "plan", "title": "Secret plan", "text": "We open a shop in Leeds."}
    made = service.request("POST", INGEST, headers={**admin, "X-Request-ID": "r-1"}, json={"documents": [document]})
    assert made.is_success
    service.request("POST", "/v1/retrieve", headers=admin, json={"query": "shop"})
    service.request("DELETE", "/v1/documents/plan", headers=admin)
    service.request("DELETE", "/v1/documents/plan", headers=admin)
    key = service.request("POST", "/v1/keys", headers=admin, json={"name": "x", "role": "reader"}).json()
    found = entries(service, admin)
    assert [(item["actor"], item["action"], item["targets"], item["outcome"]) for item in found] == [
        ("ann", "create_key", [key["id"]], "ok"),
        ("ann", "delete_document", ["plan"], "not_found"),
        ("ann", "delete_document", ["plan"], "ok"),
        ("ann", "ingest", ["plan"], "ok"),
    ]
    assert found[-1]["request_id"] == "r-1"
    assert found[-1]["origin"]
    assert "Leeds" not in str(found)
    assert "Secret" not in str(found)
    assert key["key"] not in str(found)


def test_entries_are_found_by_who_what_outcome_and_when(service):
    admin = service.key("Filters", user_id="ann")
    before = now()
    for title in ("a", "b"):
        service.request("POST", "/v1/sessions", headers=admin, json={"title": title})
    service.request("DELETE", "/v1/sessions/none", headers=admin)
    assert len(entries(service, admin, "?action=create_session")) == 2
    assert len(entries(service, admin, "?outcome=not_found")) == 1
    assert entries(service, admin, "?actor=ben") == []
    moment = before.isoformat().replace("+00:00", "Z")
    assert len(entries(service, admin, f"?since={moment}")) == 3
    assert entries(service, admin, f"?until={moment}") == []
    assert service.request("GET", "/v1/audit?since=2026-01-01T00:00:00", headers=admin).status_code == 422


def test_pages_follow_one_another(service):
    admin = service.key("Pages")
    for n in range(5):
        service.request("POST", "/v1/sessions", headers=admin, json={"title": str(n)})
    first = service.request("GET", "/v1/audit?limit=3", headers=admin).json()
    rest = service.request("GET", f"/v1/audit?limit=3&cursor={first['next_cursor']}", headers=admin).json()
    assert [item["number"] for item in first["entries"] + rest["entries"]] == [5, 4, 3, 2, 1]
    assert rest["next_cursor"] is None


def test_logins_are_written_down_the_failed_ones_too(service):
    body = {"email": "ann@example.org", "password": "long enough to be"}
    user = service.post("/v1/auth/register", name="Ann", **body).json()["user"]
    service.post("/v1/auth/login", **body)
    service.post("/v1/auth/login", **{**body, "password": "wrong"})
    found = entries(service, service.key(), f"?actor={user['id']}")
    assert [(item["action"], item["outcome"]) for item in found] == [
        ("login", "invalid_credentials"),
        ("login", "ok"),
        ("register", "ok"),
    ]
    assert "example.org" not in str(found)


def test_many_at_once_are_all_in_the_chain(service):
    admin = service.key("Crowd")
    calls = [service._http.request("POST", "/v1/sessions", headers=admin, json={"title": str(n)}) for n in range(50)]

    async def together() -> None:
        assert {answer.status_code for answer in await asyncio.gather(*calls)} == {201}

    service.run(together())
    assert service.request("GET", "/v1/audit/verify", headers=admin).json() == {
        "holds": True,
        "entries": 50,
        "broken_at": None,
    }


@pytest.mark.parametrize("change", ["UPDATE audit_entries SET actor = 'ben'", "DELETE FROM audit_entries"])
def test_tampering_shows(service, change):
    admin = service.key(f"Tampered {change[:6]}")
    for n in range(4):
        service.request("POST", "/v1/sessions", headers=admin, json={"title": str(n)})
    tenant = service.request("GET", "/v1/auth/me", headers=admin).json()["tenant"]
    statement = text(f"{change} WHERE tenant_id = :tenant AND number = 2")
    service.run(service.container.database.write_across(lambda t: t.connection.execute(statement, {"tenant": tenant})))
    report = service.request("GET", "/v1/audit/verify", headers=admin).json()
    assert (report["holds"], report["broken_at"]) == (False, 2 if change.startswith("UPDATE") else 3)


def test_retention_takes_the_oldest_and_leaves_a_chain_that_holds(service):
    admin = service.key("Retired")
    for n in range(4):
        service.request("POST", "/v1/sessions", headers=admin, json={"title": str(n)})
    tenant = service.run(service.container.identities.tenants.find("Retired")).id
    gone = service.run(
        service.container.database.write(tenant, lambda t: AuditRepository(t).expire(now() + timedelta(days=1)))
    )
    assert gone == 3
    service.request("POST", "/v1/sessions", headers=admin, json={"title": "later"})
    assert service.request("GET", "/v1/audit/verify", headers=admin).json()["holds"]
    assert [item["number"] for item in entries(service, admin)] == [5, 4]


def test_reads_are_written_down_where_the_settings_say_so(data_dir):
    with LiveService(data_dir, auth=REQUIRED, audit=AuditSettings(reads=True)) as live:
        admin = live.key()
        live.request("POST", "/v1/retrieve", headers=admin, json={"query": "anything"})
        live.request("GET", "/v1/documents", headers=admin)
        assert [item["action"] for item in entries(live, admin)] == ["list_documents", "retrieve"]


DEEDS = st.lists(
    st.builds(lambda actor, n: Deed(now(), actor, None, "x", (str(n),), None, "ok", None), st.text(), st.integers()),
    min_size=3,
)


@given(deeds=DEEDS, data=st.data())
def test_a_chain_holds_until_an_entry_is_changed_taken_out_or_moved(deeds, data):
    made = chain(SECRET, (0, BEGINNING), deeds)
    assert first_break(SECRET, made) is None
    assert first_break(b"another secret", made) == 1
    position = data.draw(st.integers(1, len(made) - 2))
    assert first_break(SECRET, made[:position] + made[position + 1 :]) == made[position + 1].number
    swapped = [*made[:position], made[position + 1], made[position], *made[position + 2 :]]
    assert first_break(SECRET, swapped) is not None
