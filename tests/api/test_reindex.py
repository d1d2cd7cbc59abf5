"""The index is shared by all tenants: operators alone build it anew, or look at that of everybody."""

from collections.abc import Iterator

import pytest

from advanced_rag.config import AuthSettings
from tests.support.live import LiveService

CALLS = [
    ("POST", "/v1/index/reindex", {}),
    ("GET", "/v1/index/reindex", None),
    ("POST", "/v1/index/reindex/plan", {}),
    ("POST", "/v1/index/reindex/cancel", None),
    ("POST", "/v1/index/rollback", {}),
    ("POST", "/v1/index/verify", {"all_tenants": True}),
]


@pytest.fixture
def service(data_dir) -> Iterator[LiveService]:
    with LiveService(data_dir, auth=AuthSettings(mode="required", secret="s" * 32)) as live:
        yield live


def test_the_administrator_of_a_tenant_may_not(service):
    admin, operator = service.key(role="admin"), service.key(role="operator")
    for method, path, body in CALLS:
        refused = service.request(method, path, headers=admin, json=body)
        assert refused.status_code == 403, path
        assert refused.json()["error"]["details"]["scope"] == "admin:reindex"
        assert service.request(method, path, headers=operator, json=body).status_code in {200, 202, 409}, path
    assert service.request("POST", "/v1/index/verify", headers=admin, json={}).status_code == 200


def test_verification_of_all_tenants_counts_them_together(service):
    operator = service.key(role="operator")
    for tenant in ("One", "Two"):
        body = {"documents": [{"id": "otters", "text": "Otters hold hands."}]}
        key = service.key(tenant, "writer")
        assert service.request("POST", "/v1/ingest?wait=true", headers=key, json=body).is_success
    answer = service.request("POST", "/v1/index/verify", headers=operator, json={"all_tenants": True}).json()
    assert {row["collection"]: row["expected"] for row in answer["collections"]}["semantic_g1"] == 2
    assert answer["agrees"]
