import json

import pytest

from tests.support.service import INGEST

TEXT = "Visitors park on the north deck. The barrier code changes on the first of each month."


@pytest.fixture(scope="module", autouse=True)
def documents(service):
    assert service.post(INGEST, documents=[{"id": "parking", "title": "Visitor parking", "text": TEXT}]).is_success


def test_an_answer_cites_what_it_says(service):
    answer = service.post("/v1/chat", message="Where do visitors park?").json()
    assert answer["answered"] is True
    assert "north deck" in answer["answer"]
    citation = answer["citations"][0]
    assert f"[{citation['n']}]" in answer["answer"]
    assert citation["document_id"] == "parking"
    assert "north deck" in TEXT[citation["start"] : citation["end"]]
    assert answer["provider"] == "extractive"


def test_a_question_the_documents_do_not_answer_is_refused(service):
    answer = service.post("/v1/chat", message="Who won the football world cup in 1998?").json()
    assert answer["answered"] is False
    assert answer["citations"] == []


def test_a_follow_up_uses_the_history(service):
    first = service.post("/v1/chat", message="Where do visitors park?").json()
    second = service.post("/v1/chat", message="And when does its code change?", session_id=first["session_id"]).json()
    assert "first of each month" in second["answer"]


def test_a_session_keeps_its_turns_in_order(service):
    session = service.post("/v1/sessions", title="Parking").json()
    for question in ("Where do visitors park?", "When does the barrier code change?"):
        service.post("/v1/chat", message=question, session_id=session["id"])
    path = f"/v1/sessions/{session['id']}"
    messages = service.get(f"{path}/messages").json()["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant"] * 2
    assert service.request("PATCH", path, json={"title": "Renamed"}).json()["title"] == "Renamed"
    assert session["id"] in {item["id"] for item in service.get("/v1/sessions").json()["sessions"]}
    assert service.request("DELETE", path).status_code == 204
    assert service.get(path).status_code == 404
    assert service.get(f"{path}/messages").status_code == 404


def test_messages_are_paged(service):
    session = service.post("/v1/chat", message="Where do visitors park?").json()["session_id"]
    first = service.get(f"/v1/sessions/{session}/messages?limit=1").json()
    second = service.get(f"/v1/sessions/{session}/messages?limit=1&cursor={first['next_cursor']}").json()
    assert [first["messages"][0]["role"], second["messages"][0]["role"]] == ["user", "assistant"]
    assert second["next_cursor"] is None


def test_a_stream_tells_what_was_found_then_the_answer_then_the_whole(service):
    answer = service.post("/v1/chat", message="Where do visitors park?", stream=True)
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [block.split("\n") for block in answer.text.strip().split("\n\n")]
    names = [lines[0].removeprefix("event: ") for lines in events]
    assert names[0] == "retrieval"
    assert names[-1] == "done"
    assert {"token", "citation"} <= set(names)
    tokens = [
        json.loads(lines[1].removeprefix("data: "))["text"]
        for lines, name in zip(events, names, strict=True)
        if name == "token"
    ]
    assert json.loads(events[-1][1].removeprefix("data: "))["answer"] == "".join(tokens).strip()


def test_feedback_is_kept_for_a_message_that_exists(service):
    message = service.post("/v1/chat", message="Where do visitors park?").json()["message_id"]
    assert service.post("/v1/feedback", message_id=message, rating=5).status_code == 201
    assert service.post("/v1/feedback", message_id="nope", rating=5).status_code == 404
    assert service.post("/v1/feedback", message_id=message, rating=6).status_code == 422


def test_an_answer_tells_what_it_was_made_of(service):
    service.post(INGEST, documents=[{"id": "parking", "title": "Visitor parking", "text": TEXT + " Mind the bikes."}])
    answer = service.post("/v1/chat", message="Where do visitors park?").json()
    lineage = service.get(f"/v1/messages/{answer['message_id']}/lineage").json()
    source = lineage["sources"][0]
    assert (source["chunk_id"], source["document_id"]) == (answer["citations"][0]["chunk_id"], "parking")
    assert source["version"] == service.get("/v1/documents/parking").json()["version"]
    assert lineage["collections"] == service.get("/v1/status").json()["collections"]
    assert lineage["encoder"] == service.get("/v1/status").json()["encoder"]
    assert (lineage["provider"], lineage["model"], lineage["degraded"]) == ("extractive", None, [])
    assert lineage["settings"]["retrieval"]["weights"]["sparse"] == 0.5
    assert service.get("/v1/messages/unknown/lineage").status_code == 404
