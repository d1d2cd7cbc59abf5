"""Every documented metric is there once a service has worked a little."""

import re
from pathlib import Path

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from advanced_rag.client import ApiError, Client
from tests.support.service import running

DOCUMENTED = Path(__file__).parent.parent.parent / "docs" / "METRICS.md"


def test_every_documented_metric_is_emitted(data_dir):
    settings = {"RAG_RATE_LIMIT__ENABLED": "true", "RAG_JOBS__INTERVAL_S": "0.1"}
    with running(data_dir, **settings) as service, Client(service.url) as client:
        for text in ("Otters sleep.", "Otters sleep hand in hand."):
            client.ingest([{"id": "otters", "text": text}])
        client.chat("How do otters sleep?")
        with pytest.raises(ApiError):
            client.document("unknown")
        families = {family.name: family for family in _families(service.url)}
    names = set(re.findall(r"^\| `(rag_[a-z_]+?)(?:_total)?`", DOCUMENTED.read_text(encoding="utf-8"), re.MULTILINE))
    assert {name for name in names if not families[name].samples} == set()


def _families(url: str) -> list:
    return list(text_string_to_metric_families(httpx2.get(f"{url}/metrics").text))
