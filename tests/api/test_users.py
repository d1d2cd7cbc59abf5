"""Users with a password: they register as far as they may, log in, stay logged in, and are ended when they must be."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from advanced_rag.config import AuthSettings
from tests.conftest import make_data_dir, make_database
from tests.support.live import LiveService
from tests.support.service import INGEST

OPEN = AuthSettings(mode="required", secret="s" * 32, registration="open")
PASSWORD = "correct horse battery"


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def service(request, tmp_path_factory, prepared_encoders: Path) -> Iterator[LiveService]:
    url = make_database(request.getfixturevalue("postgres")) if request.param == "postgresql" else None
    data_dir = make_data_dir(tmp_path_factory.mktemp("users") / "data", prepared_encoders)
    with LiveService(data_dir, url, auth=OPEN) as live:
        yield live


def registered(service: LiveService, email: str, **more) -> dict:
    answer = service.post("/v1/auth/register", email=email, password=PASSWORD, name="A", **more)
    assert answer.status_code == 201, answer.text
    return answer.json()


def bearer(login: dict) -> dict[str, str]:
    return {"Authorization": f"Bearer {login['access_token']}"}


def status(service: LiveService, login: dict) -> int:
    return service.request("GET", "/v1/auth/me", headers=bearer(login)).status_code


def test_register_upload_chat(service):
    login = registered(service, "ann@example.org")
    document = {"id": "ferry", "text": "The ferry leaves at noon."}
    ingested = service.request("POST", INGEST, headers=bearer(login), json={"documents": [document]})
    assert ingested.json()["documents"][0]["status"] == "created"
    said = service.request("POST", "/v1/chat", headers=bearer(login), json={"message": "When does the ferry leave?"})
    assert "noon" in said.json()["answer"]
    me = service.request("GET", "/v1/auth/me", headers=bearer(login)).json()
    assert (me["user_id"], me["tenant"]) == (login["user"]["id"], "default")


def test_an_address_is_registered_once_however_it_is_written(service):
    registered(service, "ben@example.org")
    again = service.post("/v1/auth/register", email="BEN@Example.org", password=PASSWORD, name="B")
    assert (again.status_code, again.json()["error"]["code"]) == (409, "conflict")
    assert service.post("/v1/auth/login", email="Ben@example.ORG", password=PASSWORD).status_code == 200


@pytest.mark.parametrize("body", [{"email": "no address"}, {"password": "short"}, {"name": " "}, {"role": "admin"}])
def test_what_cannot_be_registered_is_refused(service, body):
    answer = service.post("/v1/auth/register", **{"email": "x@example.org", "password": PASSWORD, "name": "X", **body})
    assert answer.status_code == 422
    assert PASSWORD not in answer.text


def test_a_wrong_password_and_an_unknown_address_look_the_same_and_lock_out_the_same(service):
    registered(service, "cleo@example.org")
    seen = []
    for email in ("cleo@example.org", "nobody@example.org"):
        answers = [service.post("/v1/auth/login", email=email, password="wrong password") for _ in range(7)]
        seen.append(
            [(answer.status_code, answer.json()["error"]["code"], answer.json()["error"]["message"]) for answer in answers]
        )
    assert seen[0] == seen[1]
    assert [code for _, code, _ in seen[0]] == ["invalid_credentials"] * 5 + ["locked_out"] * 2
    locked = service.post("/v1/auth/login", email="cleo@example.org", password=PASSWORD)
    assert locked.status_code == 429
    assert int(locked.headers["retry-after"]) >= 1


def test_a_refresh_token_is_good_once_and_its_second_use_ends_the_login(service):
    first = registered(service, "dan@example.org")
    second = service.post("/v1/auth/refresh", refresh_token=first["refresh_token"])
    assert second.status_code == 200
    assert status(service, second.json()) == 200
    stolen = service.post("/v1/auth/refresh", refresh_token=first["refresh_token"])
    assert (stolen.status_code, stolen.json()["error"]["code"]) == (401, "revoked_credentials")
    assert service.post("/v1/auth/refresh", refresh_token=second.json()["refresh_token"]).status_code == 401


def test_logging_out_ends_one_login_alone(service):
    here = registered(service, "eve@example.org")
    there = service.post("/v1/auth/login", email="eve@example.org", password=PASSWORD).json()
    assert service.post("/v1/auth/logout", refresh_token=here["refresh_token"]).status_code == 204
    assert service.post("/v1/auth/refresh", refresh_token=here["refresh_token"]).status_code == 401
    assert service.post("/v1/auth/refresh", refresh_token=there["refresh_token"]).status_code == 200
    assert service.post("/v1/auth/logout", refresh_token="unknown").status_code == 204


def test_a_new_password_ends_every_login(service):
    login = registered(service, "fay@example.org")
    wrong = service.request("POST", "/v1/auth/password", headers=bearer(login), json={"old": "x", "new": "another password"})
    assert wrong.status_code == 401
    body = {"old": PASSWORD, "new": "another password"}
    assert service.request("POST", "/v1/auth/password", headers=bearer(login), json=body).status_code == 204
    assert status(service, login) == 401
    assert service.post("/v1/auth/refresh", refresh_token=login["refresh_token"]).status_code == 401
    assert service.post("/v1/auth/login", email="fay@example.org", password=PASSWORD).status_code == 401
    assert service.post("/v1/auth/login", email="fay@example.org", password="another password").status_code == 200


def test_a_user_who_is_switched_off_is_refused_and_other_tenants_do_not_reach_him(service):
    login = registered(service, "gil@example.org")
    path = f"/v1/users/{login['user']['id']}"
    elsewhere, admin = service.key("Elsewhere"), service.key()
    assert service.request("PATCH", path, headers=elsewhere, json={"is_active": False}).status_code == 404
    assert login["user"]["id"] not in service.request("GET", "/v1/users", headers=elsewhere).text
    assert service.request("PATCH", path, headers=admin, json={"is_active": False}).json()["is_active"] is False
    assert status(service, login) == 401
    assert service.post("/v1/auth/login", email="gil@example.org", password=PASSWORD).status_code == 401
    assert service.request("PATCH", path, headers=admin, json={"is_active": True}).json()["is_active"] is True
    assert service.post("/v1/auth/login", email="gil@example.org", password=PASSWORD).status_code == 200


def test_groups_and_roles_of_a_user_are_those_he_has_now(service):
    admin, login = service.key(), registered(service, "hal@example.org")
    path = f"/v1/users/{login['user']['id']}"
    service.request("PATCH", path, headers=admin, json={"role": "reader", "groups": ["pumps"]})
    again = service.post("/v1/auth/login", email="hal@example.org", password=PASSWORD).json()
    me = service.request("GET", "/v1/auth/me", headers=bearer(again)).json()
    assert me["groups"] == ["pumps"]
    assert "ingest" not in me["scopes"]
    assert service.request("PATCH", path, headers=admin, json={"role": "operator"}).status_code == 403


def test_an_invitation_leads_into_its_tenant_once(service):
    admin = service.key("Guests")
    made = service.request("POST", "/v1/auth/invitations", headers=admin, json={"role": "reader", "groups": ["visitors"]})
    invitation = made.json()["invitation"]
    login = registered(service, "ida@example.org", invitation=invitation)
    assert (login["user"]["role"], login["user"]["groups"]) == ("reader", ["visitors"])
    me = service.request("GET", "/v1/auth/me", headers=bearer(login)).json()
    assert me["tenant"] != "default"
    twice = {"email": "jo@example.org", "password": PASSWORD, "name": "J", "invitation": invitation}
    refused = service.post("/v1/auth/register", **twice)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "registration_closed")


@pytest.mark.parametrize("registration", ["closed", "invited"])
def test_registering_is_closed_unless_the_settings_open_it(data_dir, registration):
    with LiveService(data_dir, auth=OPEN.model_copy(update={"registration": registration})) as live:
        body = {"email": "kim@example.org", "password": PASSWORD, "name": "K"}
        assert live.post("/v1/auth/register", **body).json()["error"]["code"] == "registration_closed"
        invitation = live.request("POST", "/v1/auth/invitations", headers=live.key(), json={}).json()["invitation"]
        invited = live.post("/v1/auth/register", **body, invitation=invitation)
        assert invited.status_code == (201 if registration == "invited" else 403)


def test_the_database_holds_no_password_and_no_token(service):
    login = registered(service, "lea@example.org")
    statement = "SELECT password, digest FROM users, refresh_tokens"
    rows = service.run(service.container.database.read_across(lambda t: t.connection.exec_driver_sql(statement).all()))
    assert PASSWORD not in str(rows)
    assert login["refresh_token"] not in str(rows)
    assert "$argon2id$" in str(rows)
