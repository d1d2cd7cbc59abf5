"""Quotas: a tenant gets as far as it may, is told which quota stopped it, and stops nobody else."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from advanced_rag.config import AuthSettings
from tests.conftest import make_data_dir, make_database
from tests.support.live import LiveService
from tests.support.service import INGEST

REQUIRED = AuthSettings(mode="required", secret="s" * 32)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def service(request, tmp_path_factory, prepared_encoders: Path) -> Iterator[LiveService]:
    url = make_database(request.getfixturevalue("postgres")) if request.param == "postgresql" else None
    data_dir = make_data_dir(tmp_path_factory.mktemp("quotas") / "data", prepared_encoders)
    with LiveService(data_dir, url, auth=REQUIRED) as live:
        yield live


def limited(service: LiveService, tenant: str, **quotas: int) -> dict[str, str]:
    """Return the key of a tenant with these quotas."""
    who, operator = service.key(tenant), service.key(role="operator")
    assert service.request("PUT", f"/v1/tenants/{tenant}/quotas", headers=operator, json=quotas).status_code == 200
    return who


def ingest(service: LiveService, who: dict[str, str], **texts: str) -> list[tuple[str, str | None]]:
    documents = [{"id": key, "text": text} for key, text in texts.items()]
    answer = service.request("POST", INGEST, headers=who, json={"documents": documents})
    assert answer.status_code == 200, answer.text
    return [(item["status"], item.get("error", {}).get("code")) for item in answer.json()["documents"]]


FULL = ("failed", "storage_quota_exceeded")


def test_no_more_documents_than_the_quota_come_in_and_room_comes_back(service):
    who = limited(service, "Two documents", documents=2)
    assert ingest(service, who, a="A.", b="B.", c="C.") == [("created", None), ("created", None), FULL]
    assert ingest(service, who, a="A, again.") == [("replaced", None)]
    service.request("DELETE", "/v1/documents/a", headers=who)
    assert ingest(service, who, c="C.", d="D.") == [("created", None), FULL]
    assert service.request("GET", "/v1/documents/d", headers=who).status_code == 404


def test_text_and_chunks_have_quotas_too(service):
    who = limited(service, "Ten bytes", bytes=10)
    assert ingest(service, who, a="123456", b="ünï") == [("created", None), ("failed", "storage_quota_exceeded")]
    assert ingest(service, who, a="12345") == [("replaced", None)]
    assert ingest(service, who, c="123456") == [FULL]
    who = limited(service, "One chunk", chunks=1)
    assert ingest(service, who, long="Many words. " * 400) == [FULL]
    assert ingest(service, who, short="Few words.") == [("created", None)]


def test_a_days_requests_end_and_others_go_on(service):
    who, others = limited(service, "Three requests", requests_per_day=3), service.key("Others")
    statuses = [service.request("GET", "/v1/documents", headers=who).status_code for _ in range(5)]
    assert statuses == [200, 200, 200, 429, 429]
    refused = service.request("GET", "/v1/documents", headers=who)
    assert refused.json()["error"]["code"] == "quota_exceeded"
    assert refused.json()["error"]["details"] == {"quota": "requests_per_day"}
    assert 0 < int(refused.headers["retry-after"]) <= 86_400
    assert service.request("GET", "/v1/documents", headers=others).status_code == 200


def test_a_days_tokens_end_with_what_is_embedded_and_answered(service):
    who = limited(service, "Tokens", tokens_per_day=30)
    assert ingest(service, who, a="The gate opens at six in the morning and closes at nine.") == [("created", None)]
    service.request("POST", "/v1/chat", headers=who, json={"message": "When does the gate open?"})
    refused = service.request("POST", "/v1/chat", headers=who, json={"message": "When does it close?"})
    assert (refused.status_code, refused.json()["error"]["details"]) == (429, {"quota": "tokens_per_day"})


def test_usage_tells_what_is_held_used_and_allowed(service):
    who = limited(service, "Users", documents=5, requests_per_day=100)
    ingest(service, who, a="Äpfel.", b="Pears.")
    ingest(service, who, b="Pears, ripe.")
    usage = service.request("GET", "/v1/usage", headers=who).json()
    assert (usage["documents"], usage["chunks"], usage["bytes"]) == (2, 2, len("Äpfel.".encode()) + len("Pears, ripe."))
    assert usage["requests_today"] == 3
    assert usage["tokens_today"] > 0
    assert usage["quotas"] == {
        "documents": 5,
        "chunks": None,
        "bytes": None,
        "requests_per_day": 100,
        "tokens_per_day": None,
    }


def test_what_replicas_used_is_added_up(service):
    who = limited(service, "Replicas", requests_per_day=4)
    quotas, tenant = (
        service.container.identities.quotas,
        service.run(service.container.identities.tenants.find("Replicas")).id,
    )
    elsewhere = type(quotas)(service.container.database)
    for _ in range(3):
        elsewhere.admit(tenant)
    service.run(elsewhere.settle())
    service.run(quotas.settle())
    assert service.request("GET", "/v1/documents", headers=who).status_code == 200
    assert service.request("GET", "/v1/documents", headers=who).status_code == 429
