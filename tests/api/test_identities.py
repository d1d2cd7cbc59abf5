"""API keys: who carries one is known, what it was not granted is refused, and what ends it ends it everywhere soon."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from advanced_rag.config import AuthSettings
from advanced_rag.exceptions import DatabaseUnavailableError, RevokedCredentialsError
from advanced_rag.models.documents import DEFAULT_TENANT
from advanced_rag.models.identity import ROLES, SCOPES, KeyRequest
from advanced_rag.services.keys import KeyService
from advanced_rag.storage.tables import now
from tests.conftest import make_data_dir, make_database
from tests.support.live import LiveService

SIGNING_IN = ("register", "login", "refresh", "logout")
REQUIRED = AuthSettings(mode="required", secret="s" * 32, roles={"chatter": ["chat"]})


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def service(request, tmp_path_factory, prepared_encoders: Path) -> Iterator[LiveService]:
    """A service of each kind of database that wants to know who asks."""
    url = make_database(request.getfixturevalue("postgres")) if request.param == "postgresql" else None
    data_dir = make_data_dir(tmp_path_factory.mktemp("identities") / "data", prepared_encoders)
    with LiveService(data_dir, url, auth=REQUIRED) as live:
        yield live


def routes(service: LiveService) -> list[tuple[str, str, str | None]]:
    """Return method, path and scope of every route, as the API's description tells them."""
    paths = service.get("/openapi.json").json()["paths"]
    return [
        (method.upper(), path.replace("{", "").replace("}", ""), _scope(operation))
        for path, methods in paths.items()
        for method, operation in methods.items()
    ]


def _scope(operation: dict) -> str | None:
    asked = {scope for way in operation.get("security", []) for scopes in way.values() for scope in scopes}
    assert len(asked) <= 1
    return next(iter(asked), None)


def call(service: LiveService, method: str, path: str, headers: dict[str, str]):
    body = {"json": {}} if method in {"POST", "PATCH", "PUT"} else {}
    return service.request(method, path, headers=headers, **body)


def test_every_route_but_health_needs_a_scope_and_refuses_who_is_unknown_or_was_not_granted_it(service):
    public = {path for _, path, scope in routes(service) if scope is None}
    assert public == {"/healthz", "/healthz/live", "/healthz/ready", *(f"/v1/auth/{name}" for name in SIGNING_IN)}
    for method, path, scope in routes(service):
        if scope is None:
            continue
        assert scope in SCOPES
        nobody = call(service, method, path, {})
        assert (nobody.status_code, nobody.json()["error"]["code"]) == (401, "missing_credentials"), path
        assert nobody.headers["www-authenticate"].startswith("Bearer")
        refused = call(service, method, path, everything_but(service, scope))
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "missing_scope"), path
        assert refused.json()["error"]["details"] == {"scope": scope}
        granted = call(service, method, path, only(service, scope))
        assert granted.status_code not in {401, 500}, path
        assert '"scope":' not in granted.text, path


def everything_but(service: LiveService, scope: str) -> dict[str, str]:
    return _limited(service, SCOPES - {scope})


def only(service: LiveService, scope: str) -> dict[str, str]:
    return _limited(service, {scope})


def _limited(service: LiveService, scopes) -> dict[str, str]:
    with_roles = service.container.identities.keys._roles
    with_roles["test"] = frozenset(scopes)
    return service.key(role="test")


@pytest.mark.parametrize("wrong", ["", "x", "rag_000000000000_" + "A" * 43, "rag_é", "Bearer", "é" * 100, "A" * 20_000])
def test_what_is_no_key_is_refused_in_one_way(service, wrong):
    answer = service.request("GET", "/v1/status", headers={b"Authorization": b"Bearer " + wrong.encode()})
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] in {"invalid_credentials", "missing_credentials"}


def test_a_key_is_taken_from_either_header(service):
    bearer = service.key()
    assert service.request("GET", "/v1/status", headers=bearer).status_code == 200
    header = {"X-API-Key": bearer["Authorization"].removeprefix("Bearer ")}
    assert service.request("GET", "/v1/status", headers=header).status_code == 200


def test_one_wrong_character_makes_another_key(service):
    good = service.key()["Authorization"]
    wrong = good[:-1] + ("A" if good[-1] != "A" else "B")
    assert service.request("GET", "/v1/status", headers={"Authorization": wrong}).status_code == 401


def test_a_key_is_made_listed_without_its_secret_and_ends_when_it_is_revoked(service):
    admin = service.key("Makers")
    made = service.request("POST", "/v1/keys", headers=admin, json={"name": "ci", "role": "reader", "groups": ["a"]})
    assert made.status_code == 201
    key = made.json()
    holder = {"Authorization": f"Bearer {key['key']}"}
    assert service.request("GET", "/v1/status", headers=holder).status_code == 200
    listed = service.request("GET", "/v1/keys", headers=admin).json()["keys"]
    assert next(item for item in listed if item["id"] == key["id"])["groups"] == ["a"]
    assert key["key"] not in str(listed)
    assert service.request("DELETE", f"/v1/keys/{key['id']}", headers=admin).status_code == 204
    refused = service.request("GET", "/v1/status", headers=holder)
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "revoked_credentials")
    assert service.request("DELETE", f"/v1/keys/{key['id']}", headers=admin).status_code == 404


def test_a_revocation_on_another_replica_is_known_within_five_seconds(service):
    now_s = 0.0
    here, there = (
        KeyService(service.container.database, b"the same secret", REQUIRED.granted, clock=lambda: now_s) for _ in range(2)
    )
    key, secret = service.run(here.create(DEFAULT_TENANT, KeyRequest("shared", "reader")))
    assert service.run(there.authenticate(secret)).credential == key.id
    service.run(here.revoke(DEFAULT_TENANT, key.id))
    with pytest.raises(RevokedCredentialsError):
        service.run(here.authenticate(secret))
    assert service.run(there.authenticate(secret)).credential == key.id
    now_s = 5.0
    with pytest.raises(RevokedCredentialsError):
        service.run(there.authenticate(secret))


def test_a_rotated_key_goes_on_for_the_overlap_alone(service):
    admin = service.key("Rotators")
    made = service.request("POST", "/v1/keys", headers=admin, json={"name": "app", "role": "reader"}).json()
    path = f"/v1/keys/{made['id']}/rotate"
    rotated = service.request("POST", path, headers=admin, json={"overlap_s": 3600}).json()
    again = service.request("POST", f"/v1/keys/{rotated['id']}/rotate", headers=admin, json={"overlap_s": 0}).json()
    statuses = [
        service.request("GET", "/v1/status", headers={"X-API-Key": key["key"]}).status_code for key in (made, rotated, again)
    ]
    assert statuses == [200, 401, 200]
    assert again["user_id"] == made["user_id"]


def test_a_key_that_has_expired_says_so_to_its_holder(service):
    holder = service.key(expires_at=now() - timedelta(seconds=1))
    answer = service.request("GET", "/v1/status", headers=holder)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "expired_credentials")


def test_nobody_grants_more_than_he_has(service):
    admin = service.key()
    body = {"name": "more", "role": "operator"}
    refused = service.request("POST", "/v1/keys", headers=admin, json=body)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "missing_scope")
    body = {"name": "more", "role": "reader", "scopes": ["documents:all"]}
    assert service.request("POST", "/v1/keys", headers=admin, json=body).status_code == 403
    assert service.request("POST", "/v1/keys", headers=admin, json={"name": "x", "role": "king"}).status_code == 422


def test_roles_of_the_installation_stand_beside_those_there_always_are(service):
    chatter = service.key(role="chatter")
    assert service.request("GET", "/v1/sessions", headers=chatter).status_code == 200
    assert service.request("GET", "/v1/documents", headers=chatter).status_code == 403
    assert ROLES["reader"] < ROLES["writer"] < ROLES["admin"] < ROLES["operator"]


def test_an_operator_makes_a_tenant_its_first_key_and_switches_it_off(service):
    operator = service.key(role="operator")
    made = service.request("POST", "/v1/tenants", headers=operator, json={"name": "Shipping"})
    assert made.status_code == 201
    assert service.request("POST", "/v1/tenants", headers=operator, json={"name": "Shipping"}).status_code == 409
    path = f"/v1/tenants/{made.json()['id']}"
    key = service.request("POST", f"{path}/keys", headers=operator, json={"name": "first", "role": "admin"}).json()["key"]
    assert service.request("GET", "/v1/status", headers={"X-API-Key": key}).json()["documents"] == 0
    assert service.request("PATCH", path, headers=operator, json={"is_active": False}).json()["is_active"] is False
    service.container.identities.keys._known.clear()
    refused = service.request("GET", "/v1/status", headers={"X-API-Key": key})
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "tenant_disabled")


def test_the_database_holds_no_key(service):
    secret = service.key()["Authorization"].removeprefix("Bearer ")
    rows = service.run(
        service.container.database.read_across(lambda t: t.connection.exec_driver_sql("SELECT * FROM api_keys").all())
    )
    assert secret.split("_")[1] in str(rows)
    assert secret.split("_", 2)[2] not in str(rows)


async def fails(*_):
    raise DatabaseUnavailableError("down")


def test_metrics_answer_who_was_known_although_the_database_does_not(data_dir):
    with LiveService(data_dir, auth=REQUIRED) as live:
        holder = live.key()
        assert live.request("GET", "/metrics", headers=holder).status_code == 200
        live.container.identities.keys._known.clear()
        live.container.database.read_across = fails
        assert live.request("GET", "/metrics", headers=holder).status_code == 200
        assert live.request("GET", "/v1/status", headers=holder).status_code == 503
