"""Two tenants on one service: whatever one of them asks for, by whatever route, nothing of the other comes back."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from prometheus_client import REGISTRY

from advanced_rag.config import AuthSettings
from advanced_rag.models.jobs import new_job
from advanced_rag.storage.jobs import JobRepository
from tests.conftest import make_data_dir, make_database
from tests.support.live import LiveService
from tests.support.service import INGEST

CANARY = "xylophone-canary"
QUESTION = f"Where is the {CANARY} kept?"
REQUIRED = AuthSettings(mode="required", secret="s" * 32, registration="invited")


@dataclass(frozen=True, slots=True)
class Foreign:
    """Everything of the first tenant that has an id, by the name it has in paths; and who asks for it."""

    service: LiveService
    ids: dict[str, str]
    theirs: dict[str, str]
    ours: dict[str, str]

    def call(self, method: str, path: str, headers: dict[str, str], body: dict | None = None) -> httpx2.Response:
        return self.service.request(method, path, headers=headers, json=body)


@pytest.fixture(scope="module", params=["another tenant", "another user"])
def foreign(request, tmp_path_factory, postgres: str, prepared_encoders: Path) -> Iterator[Foreign]:
    """Two identities that must not see each other: of two tenants, or two users of one with what is private."""
    data_dir = make_data_dir(tmp_path_factory.mktemp("tenants") / "data", prepared_encoders)
    with LiveService(data_dir, make_database(postgres), auth=REQUIRED) as service:
        is_same_tenant = request.param == "another user"
        theirs = service.key("First", "admin", user_id=f"{CANARY}-owner", groups=(f"{CANARY}-group",))
        ours = service.key("First" if is_same_tenant else "Second", "admin", user_id="somebody else")
        yield _filled(service, theirs, ours, {"visibility": "private"} if is_same_tenant else {"visibility": "tenant"})


def _filled(service: LiveService, theirs: dict, ours: dict, access: dict) -> Foreign:
    document = {
        "id": f"{CANARY}-document",
        "title": f"The {CANARY}",
        "text": f"The {CANARY} is kept in the blue drawer.",
        "metadata": {"place": f"{CANARY}-place"},
        "domain": "general",
        "access": access,
    }
    assert service.request("POST", INGEST, headers=theirs, json={"documents": [document]}).is_success
    said = service.request("POST", "/v1/chat", headers=theirs, json={"message": QUESTION}).json()
    assert said["citations"]
    ids = {
        "document_id": document["id"],
        "session_id": said["session_id"],
        "message_id": said["message_id"],
        "tenant": "First",
        "version": "1",
    }
    key = service.request("POST", "/v1/keys", headers=theirs, json={"name": f"{CANARY}-key", "role": "reader"}).json()
    invitation = service.request("POST", "/v1/auth/invitations", headers=theirs, json={}).json()["invitation"]
    user = {"email": f"{CANARY}@example.org", "password": "long enough", "name": CANARY, "invitation": invitation}
    registered = service.post("/v1/auth/register", **user).json()
    hold = {"kind": "document", "target": "elsewhere", "reason": CANARY}
    held = service.request("POST", "/v1/holds", headers=theirs, json=hold).json()["id"]
    ids["hold_id"] = held
    (taken,) = service.request("POST", "/v1/ingest", headers=theirs, json={"documents": [document]}).json()["documents"]
    ids["job_id"] = taken["job_id"]
    return Foreign(service, ids | {"key_id": key["id"], "user_id": registered["user"]["id"]}, theirs, ours)


BODIES = {
    "rotate_key": {"overlap_s": 0},
    "rename_session": {"title": "mine"},
    "set_access": {"visibility": "tenant"},
    "set_expiry": {"expires_at": None},
    "change_document": {"title": "mine"},
    "update_user": {"is_active": False},
    "update_tenant": {"is_active": False},
    "set_quotas": {"documents": 0},
    "create_key_of_tenant": {"name": "mine", "role": "reader"},
}
UNKNOWN = defaultdict(lambda: "11111111-2222-4333-8444-555555555555", version="1")
SHARED_IN_A_TENANT = {"key_id", "user_id", "hold_id"}  # its administrators manage them


def routes(foreign: Foreign) -> Iterator[tuple[str, str, str]]:
    paths = foreign.service.get("/openapi.json").json()["paths"]
    for path, methods in paths.items():
        for method, operation in methods.items():
            yield method.upper(), path, operation["operationId"].split("_v1_")[0]


def is_same_tenant(foreign: Foreign) -> bool:
    tenants = [foreign.call("GET", "/v1/auth/me", who).json()["tenant"] for who in (foreign.theirs, foreign.ours)]
    return tenants[0] == tenants[1]


def test_every_route_with_an_id_treats_the_others_as_if_there_were_none(foreign):
    tried = 0
    for method, path, name in routes(foreign):
        parameters = [part[1:-1] for part in path.split("/") if part.startswith("{")]
        if not parameters or (is_same_tenant(foreign) and set(parameters) <= SHARED_IN_A_TENANT):
            continue
        body = BODIES.get(name) if method in {"POST", "PUT", "PATCH"} else None
        known, unknown = (
            foreign.call(method, path.format_map(values), foreign.ours, body) for values in (foreign.ids, UNKNOWN)
        )
        assert known.status_code == unknown.status_code, path
        assert known.status_code in {403, 404}, path
        assert _said(known) == _said(unknown), path
        tried += 1
    assert tried >= 9


def _said(answer: httpx2.Response) -> dict:
    return {key: value for key, value in answer.json()["error"].items() if key not in {"request_id", "timestamp"}}


def test_every_listing_is_without_a_trace_of_the_other(foreign):
    managed = {"/v1/keys", "/v1/users", "/v1/holds"} if is_same_tenant(foreign) else set()
    left_out = {"/v1/audit", *managed}  # the audit log tells of the ids one asked for oneself
    for method, path, _ in routes(foreign):
        if method != "GET" or "{" in path or path in left_out:
            continue
        assert CANARY not in foreign.call(method, path, foreign.ours).text, path


def test_the_status_counts_the_work_of_the_callers_tenant_alone(foreign):
    owner = foreign.call("GET", "/v1/auth/me", foreign.theirs).json()["tenant"]
    database = foreign.service.container.database
    foreign.service.run(
        database.write(owner, lambda t: JobRepository(t, "x").add([new_job(owner, "purge", "x", 0, 1)], lease_s=60))
    )
    jobs = foreign.call("GET", "/v1/status", foreign.ours).json()["jobs"]
    assert jobs == ({"running": 1} if is_same_tenant(foreign) else {})


def test_the_audit_log_tells_of_the_callers_tenant_alone(foreign):
    seen = {item["actor"] for item in foreign.call("GET", "/v1/audit?limit=1000", foreign.ours).json()["entries"]}
    assert (f"{CANARY}-owner" in seen) == is_same_tenant(foreign)


FILTERS = [
    None,
    {"document_id": f"{CANARY}-document"},
    {"place": f"{CANARY}-place"},
    {"$not": {"place": "nowhere"}},
    {"$or": [{"place": {"$exists": True}}, {"place": {"$exists": False}}]},
    {"place": '" or tenant_id != "'},
    {"title": {"$gte": ""}},
]


@pytest.mark.parametrize("condition", FILTERS)
def test_no_search_finds_anything_whatever_it_is_filtered_by(foreign, condition):
    for mode in ("hybrid", "semantic", "sparse", "domain"):
        body = {"query": QUESTION, "search_mode": mode, "top_k": 100, "explain": True, "mmr": True}
        body |= {"filters": condition} if condition else {}
        body |= {"domain": "general"} if mode in {"hybrid", "domain"} else {}
        answer = foreign.call("POST", "/v1/retrieve", foreign.ours, body)
        assert (answer.status_code, answer.json()["hits"]) == (200, [])
    said = foreign.call(
        "POST", "/v1/chat", foreign.ours, {"message": QUESTION, **({"filters": condition} if condition else {})}
    )
    assert (said.json()["answered"], said.json()["citations"]) == (False, [])


def test_a_chat_in_the_others_session_and_feedback_on_its_answers_are_refused(foreign):
    body = {"message": "and then?", "session_id": foreign.ids["session_id"]}
    assert foreign.call("POST", "/v1/chat", foreign.ours, body).status_code == 404
    assert foreign.call("POST", "/v1/chat", foreign.ours, {**body, "stream": True}).status_code == 404
    body = {"message_id": foreign.ids["message_id"], "rating": 1}
    assert foreign.call("POST", "/v1/feedback", foreign.ours, body).status_code == 404


def test_the_tenant_comes_from_the_identity_alone(foreign):
    headers = {**foreign.ours, "X-Tenant": "First", "X-Tenant-Id": "First", "Tenant": "First"}
    assert foreign.call("POST", "/v1/retrieve", headers, {"query": QUESTION}).json()["hits"] == []
    body = {"query": QUESTION, "tenant": "First"}
    assert foreign.call("POST", "/v1/retrieve", foreign.ours, body).status_code == 422
    assert foreign.call("POST", "/v1/retrieve?tenant=First", foreign.ours, {"query": QUESTION}).json()["hits"] == []


def test_the_same_id_is_another_document_in_another_tenant(foreign):
    document = {"id": foreign.ids["document_id"], "text": "Ours."}
    answer = foreign.call("POST", INGEST, foreign.ours, {"documents": [document]}).json()["documents"][0]
    if is_same_tenant(foreign):
        assert answer["error"]["code"] == "id_taken"
        return
    assert answer["status"] == "created"
    path = f"/v1/documents/{document['id']}"
    assert foreign.call("DELETE", path, foreign.ours).status_code == 200
    assert foreign.call("GET", path, foreign.theirs).json()["text"] == f"The {CANARY} is kept in the blue drawer."
    assert foreign.call("POST", "/v1/retrieve", foreign.theirs, {"query": QUESTION}).json()["hits"]


def test_the_cache_of_one_never_answers_the_other(foreign):
    query = {"query": f"How heavy is the {CANARY}?"}
    misses = []
    for who in (foreign.theirs, foreign.theirs, foreign.ours):
        before = REGISTRY.get_sample_value("rag_embedding_cache_misses_total")
        foreign.call("POST", "/v1/retrieve", who, query)
        misses.append(REGISTRY.get_sample_value("rag_embedding_cache_misses_total") - before)
    assert misses == [1, 0, 1]


def test_metrics_and_health_name_nobody(foreign):
    for path in ("/metrics", "/healthz", "/healthz/ready"):
        text = foreign.call("GET", path, foreign.ours).text
        assert CANARY not in text
        assert "First" not in text
