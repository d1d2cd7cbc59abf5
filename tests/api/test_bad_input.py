"""Whatever comes in, the answer is a 4xx with a code, in one shape, that does not echo the input."""

import pytest

MARK = "do-not-echo-me"


def problem(answer, status, code):
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["code"] == code
    assert error["request_id"] == answer.headers["x-request-id"]
    assert MARK not in answer.text
    return error


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"query": ""}, "query"),
        ({"query": " \t\u200b "}, "query"),
        ({"query": "x" * 4001}, "query"),
        ({"query": 5}, "query"),
        ({"query": "x", "top_k": 0}, "top_k"),
        ({"query": "x", "top_k": -1}, "top_k"),
        ({"query": "x", "top_k": 101}, "top_k"),
        ({"query": "x", "top_k": 2**63}, "top_k"),
        ({"query": "x", "top_k": "5"}, "top_k"),
        ({"query": "x", "top_k": True}, "top_k"),
        ({"query": "x", "mmr_lambda": 2}, "mmr_lambda"),
        ({"query": "x", MARK[:6]: 1}, MARK[:6]),
        ({"query": "a\0b"}, "query"),
        ({"query": "x", "search_mode": MARK}, "search_mode"),
    ],
)
def test_a_wrong_field_is_named(service, body, field):
    error = problem(service.post("/v1/retrieve", **body), 422, "invalid_request")
    assert error["field_errors"][0]["field"] == field


@pytest.mark.parametrize(
    "filters",
    [
        {'a" or "b': MARK},
        {"a": {"$regex": MARK}},
        {"a": {"$gt": [1]}},
        {"a": {"$in": []}},
        {"a": {"$in": list(range(101))}},
        {"$or": []},
        {"$and": {"a": 1}},
        {"a": None},
        {"a.b.c.d": 1},
        {"$not": {"$not": {"$not": {"$not": {"$not": {"a": 1}}}}}},
    ],
)
def test_a_hostile_filter_is_refused(service, filters):
    problem(service.post("/v1/retrieve", query="x", filters=filters), 422, "invalid_filter")


@pytest.mark.parametrize("path", ["/v1/retrieve", "/v1/ingest", "/v1/chat"])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"query": NaN}',
        b'{"query": "\\ud800"}',
        b'{"query": "\xff\xfe"}',
        b"[" * 100_000,
        b'{"a":1}{"b":2}',
        b"\xef\xbb\xbf{}",
    ],
)
def test_what_is_not_strict_json_is_refused(service, path, body):
    answer = service.request("POST", path, content=body, headers={"content-type": "application/json"})
    problem(answer, 400, "malformed_json")


def test_deep_nesting_is_refused(service):
    body = b'{"query":"x","filters":' + b'{"a":' * 40 + b"1" + b"}" * 41
    answer = service.request("POST", "/v1/retrieve", content=body, headers={"content-type": "application/json"})
    problem(answer, 400, "malformed_json")


@pytest.mark.parametrize("media_type", ["text/plain", "application/json; charset=utf-16", ""])
def test_another_media_type_is_refused(service, media_type):
    answer = service.request("POST", "/v1/retrieve", content=b"{}", headers={"content-type": media_type})
    problem(answer, 415, "unsupported_media_type")


def test_a_body_over_the_limit_is_refused_unread(service):
    problem(service.post("/v1/retrieve", query="x" * 10_000_000), 413, "body_too_large")


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"text": ""}, "documents.0.text"),
        ({"text": "   "}, "documents.0.text"),
        ({"text": "x" * 1_000_001}, "documents.0.text"),
        ({"text": "a\0"}, "documents.0.text"),
        ({"id": "a/b", "text": "x"}, "documents.0.id"),
        ({"id": "..", "text": "x"}, "documents.0.id"),
        ({"text": "x", "domain": "unheard-of"}, "documents.0.domain"),
        ({"text": "x", "metadata": {"k": "v" * 17_000}}, "documents.0.metadata"),
        ({"text": "x", "tenant_id": "other"}, "documents.0.tenant_id"),
    ],
)
def test_a_document_that_cannot_be_ingested_names_its_field_and_stores_nothing(service, document, field):
    before = service.get("/v1/status").json()["documents"]
    error = problem(service.post("/v1/ingest", documents=[document, {"id": "good", "text": "good"}]), 422, "invalid_request")
    assert error["field_errors"][0]["field"] == field
    assert service.get("/v1/status").json()["documents"] == before


def test_an_unknown_domain_is_named(service):
    problem(service.post("/v1/retrieve", query="x", domain="unheard-of"), 422, "unknown_domain")
    problem(service.post("/v1/retrieve", query="x", search_mode="domain"), 422, "unknown_domain")


@pytest.mark.parametrize(
    "path", ["/v1/documents/nope", "/v1/documents/%22%20or%201==1", "/v1/sessions/nope", "/nope", "/v1/documents/a%2Fb"]
)
def test_what_is_not_there_is_a_404(service, path):
    problem(service.get(path), 404, "not_found")


@pytest.mark.parametrize("cursor", ["x", "!!", "e30", "WzEsMl0", "é"])
def test_a_cursor_that_was_not_made_here_is_refused(service, cursor):
    problem(service.get(f"/v1/documents?cursor={cursor}"), 422, "invalid_cursor")


@pytest.mark.parametrize(("sent", "kept"), [("abc-123", True), ("x" * 65, False), ("a b", False)])
def test_a_request_id_is_kept_when_it_is_well_formed(service, sent, kept):
    answer = service.request("GET", "/healthz/live", headers={"X-Request-ID": sent})
    assert (answer.headers["x-request-id"] == sent) is kept


def test_health_and_metrics_answer(service):
    assert service.get("/healthz/live").json() == {"status": "alive"}
    assert service.get("/healthz/ready").json()["status"] == "ready"
    assert "rag_requests_total" in service.get("/metrics").text
