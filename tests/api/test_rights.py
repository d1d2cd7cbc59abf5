"""Documents are seen by those they are open to: found, listed, read and cited, and by nobody else."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advanced_rag.config import AuthSettings
from advanced_rag.exceptions import VectorStoreError
from tests.conftest import make_data_dir, make_database
from tests.support.live import LiveService
from tests.support.service import INGEST

REQUIRED = AuthSettings(mode="required", secret="s" * 32)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def service(request, tmp_path_factory, prepared_encoders: Path) -> Iterator[LiveService]:
    url = make_database(request.getfixturevalue("postgres")) if request.param == "postgresql" else None
    data_dir = make_data_dir(tmp_path_factory.mktemp("rights") / "data", prepared_encoders)
    with LiveService(data_dir, url, auth=REQUIRED) as live:
        yield live


@pytest.fixture(scope="module")
def ann(service) -> dict[str, str]:
    return service.key(role="writer", user_id="ann", groups=("pumps",))


@pytest.fixture(scope="module")
def ben(service) -> dict[str, str]:
    return service.key(role="writer", user_id="ben", groups=("valves",))


def ingest(service: LiveService, who: dict[str, str], **document) -> dict:
    answer = service.request("POST", INGEST, headers=who, json={"documents": [document]})
    return answer.json()["documents"][0]


def sees(service: LiveService, who: dict[str, str], key: str, query: str) -> list[bool]:
    """Tell whether somebody gets a document by id, in the list, in its count, by every kind of search, and cited."""
    by_id = service.request("GET", f"/v1/documents/{key}", headers=who).status_code == 200
    listed = service.request("GET", "/v1/documents?limit=200", headers=who).json()["documents"]
    counted = service.request("GET", "/v1/status", headers=who).json()["documents"]
    assert counted == len(listed)
    found = [
        key in {hit["document_id"] for hit in _retrieve(service, who, query, mode)}
        for mode in ("hybrid", "semantic", "sparse")
    ]
    said = service.request("POST", "/v1/chat", headers=who, json={"message": query}).json()
    return [
        by_id,
        key in {item["id"] for item in listed},
        *found,
        key in {item["document_id"] for item in said["citations"]},
    ]


def _retrieve(service: LiveService, who: dict[str, str], query: str, mode: str) -> list[dict]:
    body = {"query": query, "search_mode": mode, "top_k": 20}
    return service.request("POST", "/v1/retrieve", headers=who, json=body).json()["hits"]


ACCESS = [
    ({"visibility": "private"}, False),
    ({"visibility": "private", "users": ["ben"]}, True),
    ({"visibility": "private", "users": ["valves"]}, False),
    ({"visibility": "group", "groups": ["pumps"]}, False),
    ({"visibility": "group", "groups": ["pumps", "valves"]}, True),
    ({"visibility": "group", "groups": ["ben"]}, False),
    ({"visibility": "tenant"}, True),
    (None, True),
]


@pytest.mark.parametrize(("access", "open_to_ben"), ACCESS)
def test_a_document_is_seen_by_those_it_is_open_to(service, ann, ben, access, open_to_ben):
    number = ACCESS.index((access, open_to_ben))
    key, query = f"recipe-{number}", f"Which spice goes into stew number {number}{number}?"
    text = f"Into stew number {number}{number} goes the spice called cardamom."
    ingest(service, ann, id=key, text=text, **({"access": access} if access else {}))
    assert sees(service, ann, key, query) == [True] * 6
    assert sees(service, ben, key, query) == [open_to_ben] * 6


def test_rights_that_change_hold_from_the_next_request_on(service, ann, ben):
    query = "Where is the spare boat moored?"
    ingest(service, ann, id="boat", text="The spare boat is moored at the north jetty.", access={"visibility": "private"})
    path = "/v1/documents/boat/access"
    for access, open_to_ben in [*ACCESS[:-1], ACCESS[0]]:
        changed = service.request("PUT", path, headers=ann, json=access)
        assert changed.json() == {"owner": "ann", "users": [], "groups": [], **access}
        assert sees(service, ben, "boat", query) == [open_to_ben] * 6
        assert sees(service, ann, "boat", query) == [True] * 6


def test_a_new_version_keeps_the_rights_and_a_deletion_ends_them(service, ann, ben):
    ingest(service, ann, id="will", text="The house goes to Mira.", access={"visibility": "private"})
    assert ingest(service, ann, id="will", text="The house goes to Noor.")["status"] == "replaced"
    assert sees(service, ben, "will", "Who gets the house?") == [False] * 6
    assert service.request("DELETE", "/v1/documents/will", headers=ann).status_code == 200
    assert ingest(service, ben, id="will", text="The house goes to Omar.")["status"] == "created"
    assert sees(service, ann, "will", "Who gets the house?") == [True] * 6


def test_what_one_may_not_see_looks_as_if_it_were_not_there(service, ann, ben):
    ingest(service, ann, id="hidden", text="Nobody knows about the cellar.", access={"visibility": "private"})
    calls = [
        ("GET", "/v1/documents/{}", None),
        ("DELETE", "/v1/documents/{}", None),
        ("GET", "/v1/documents/{}/access", None),
        ("PUT", "/v1/documents/{}/access", {"visibility": "tenant"}),
    ]
    for method, path, body in calls:
        hidden, absent = (service.request(method, path.format(key), headers=ben, json=body) for key in ("hidden", "nowhere"))
        assert hidden.status_code == absent.status_code == 404
        assert _without_marks(hidden) == _without_marks(absent)
    assert ingest(service, ben, id="hidden", text="Mine now.")["error"]["code"] == "id_taken"
    assert service.request("GET", "/v1/documents/hidden", headers=ann).json()["text"] == "Nobody knows about the cellar."


def _without_marks(answer) -> dict:
    return {key: value for key, value in answer.json()["error"].items() if key not in {"request_id", "timestamp"}}


def test_only_its_owner_decides_who_sees_a_document(service, ann, ben):
    ingest(service, ann, id="open", text="The gate opens at six.")
    refused = service.request("PUT", "/v1/documents/open/access", headers=ben, json={"visibility": "private"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "forbidden")
    taken = ingest(service, ben, id="open", text="The gate opens at seven.", access={"visibility": "private"})
    assert taken["error"]["code"] == "forbidden"
    operator = service.key(role="operator")
    assert (
        service.request("PUT", "/v1/documents/open/access", headers=operator, json={"visibility": "private"}).json()["owner"]
        == "ann"
    )
    assert service.request("GET", "/v1/documents/open", headers=ben).status_code == 404
    assert service.request("GET", "/v1/documents/open", headers=operator).status_code == 200


def test_conversations_belong_to_their_user(service, ann, ben):
    said = service.request("POST", "/v1/chat", headers=ann, json={"message": "When does the gate open?"}).json()
    path = f"/v1/sessions/{said['session_id']}"
    calls = [
        ("GET", path, None),
        ("GET", f"{path}/messages", None),
        ("PATCH", path, {"title": "mine"}),
        ("DELETE", path, None),
        ("POST", "/v1/chat", {"message": "and then?", "session_id": said["session_id"]}),
        ("POST", "/v1/feedback", {"message_id": said["message_id"], "rating": 1}),
    ]
    for method, url, body in calls:
        assert service.request(method, url, headers=ben, json=body).status_code == 404, url
    listed = service.request("GET", "/v1/sessions", headers=ben).json()["sessions"]
    assert said["session_id"] not in {item["id"] for item in listed}
    assert service.request("GET", path, headers=ann).status_code == 200


PEOPLE = {"cleo": ("red",), "dan": ("red", "blue"), "eve": ()}
DOCUMENTS = st.lists(
    st.tuples(
        st.sampled_from(sorted(PEOPLE)),
        st.one_of(
            st.just({"visibility": "tenant"}),
            st.builds(
                lambda users: {"visibility": "private", "users": sorted(users)}, st.sets(st.sampled_from(sorted(PEOPLE)))
            ),
            st.builds(
                lambda users, groups: {"visibility": "group", "users": sorted(users), "groups": sorted(groups)},
                st.sets(st.sampled_from(sorted(PEOPLE)), max_size=1),
                st.sets(st.sampled_from(["red", "blue", "eve"])),
            ),
        ),
    ),
    min_size=1,
    max_size=6,
)


def allowed(user: str, owner: str, access: dict) -> bool:
    """The rules, said plainly."""
    if access["visibility"] == "tenant" or user == owner or user in access.get("users", ()):
        return True
    return access["visibility"] == "group" and bool(set(access["groups"]) & set(PEOPLE[user]))


@settings(max_examples=25)
@given(documents=DOCUMENTS)
def test_retrieval_returns_what_the_rules_allow(service, documents):
    keys = {name: service.key("rules", role="writer", user_id=name, groups=groups) for name, groups in PEOPLE.items()}
    for n, (owner, access) in enumerate(documents):
        assert ingest(service, keys[owner], id=f"d{n}", text="Otters juggle pebbles.", access=access)["status"] == "created"
    try:
        for user, who in keys.items():
            expected = {f"d{n}" for n, (owner, access) in enumerate(documents) if allowed(user, owner, access)}
            for mode in ("hybrid", "semantic", "sparse"):
                assert {hit["document_id"] for hit in _retrieve(service, who, "juggling otters", mode)} == expected
    finally:
        for n, (owner, _) in enumerate(documents):
            service.request("DELETE", f"/v1/documents/d{n}", headers=keys[owner])


def test_wider_rights_come_with_the_new_text_and_never_before_it(service, ann, ben, monkeypatch):
    ingest(service, ann, id="salaries", text="Ann earns ninety thousand.", access={"visibility": "private"})

    async def fails(*_):
        raise VectorStoreError("down")

    with monkeypatch.context() as patched:
        patched.setattr(service.container.index, "add", fails)
        document = {"id": "salaries", "text": "Salaries are secret.", "access": {"visibility": "tenant"}}
        assert ingest(service, ann, **document)["status"] == "failed"
    assert sees(service, ben, "salaries", "What does Ann earn?") == [False] * 6
    assert ingest(service, ann, **document)["status"] == "replaced"
    assert sees(service, ben, "salaries", "What are salaries?") == [True] * 6
    assert service.request("GET", "/v1/documents/salaries", headers=ben).json()["text"] == "Salaries are secret."


def test_rights_set_while_a_new_version_is_indexed_are_those_that_hold(service, ann, ben, monkeypatch):
    ingest(service, ann, id="race", text="The race begins at ten.", access={"visibility": "private"})
    index, path = service.container.index, "/v1/documents/race/access"
    add = index.add

    async def meanwhile(*arguments):
        monkeypatch.setattr(index, "add", add)
        await add(*arguments)
        changed = await service._http.put(path, headers=ann, json={"visibility": "group", "groups": ["valves"]})
        assert changed.status_code == 200

    monkeypatch.setattr(index, "add", meanwhile)
    ingest(service, ann, id="race", text="The race begins at eleven.", access={"visibility": "tenant"})
    assert service.request("GET", path, headers=ann).json()["visibility"] == "group"
    service.request("POST", "/v1/index/verify", headers=service.key(), json={})  # which runs what is due
    assert sees(service, ben, "race", "When does the race begin?") == [True] * 6
    others = service.key(role="reader", user_id="cleo")
    assert sees(service, others, "race", "When does the race begin?") == [False] * 6
