"""What every answer carries, and what no answer tells."""

import pytest

PATHS = ["/healthz/live", "/metrics", "/v1/documents", "/v1/documents/missing", "/nowhere"]


@pytest.mark.parametrize("path", PATHS)
def test_browsers_are_told_to_keep_their_hands_off(service, path):
    headers = service.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["cache-control"] == "no-store"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "server" not in headers
    assert "access-control-allow-origin" not in headers


def test_other_sites_are_not_let_in(service):
    preflight = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    answer = service.request("OPTIONS", "/v1/retrieve", headers=preflight)
    assert answer.status_code == 405
    assert "access-control-allow-origin" not in answer.headers


def test_a_stream_keeps_its_own_rule_for_caches(service):
    answer = service.post("/v1/chat", message="anything", stream=True)
    assert answer.headers["cache-control"] == "no-cache"


def test_the_documentation_may_run_its_scripts(service):
    assert "content-security-policy" not in service.get("/docs").headers
