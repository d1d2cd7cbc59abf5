"""SQL alone says what exists: an index that is gone is made again from it."""

from tests.support.live import LiveService
from tests.support.service import INGEST

TEXT = "Otters hold hands while they sleep."


def test_an_index_that_is_gone_is_filled_from_the_database_at_the_next_start(data_dir):
    with LiveService(data_dir) as live:
        assert live.post(INGEST, documents=[{"id": "lost", "text": TEXT}]).is_success
    for file in data_dir.glob("milvus.db*"):
        file.unlink()
    with LiveService(data_dir) as live:
        hits = live.post("/v1/retrieve", query=TEXT).json()["hits"]
        assert [hit["document_id"] for hit in hits] == ["lost"]
        assert live.post("/v1/index/verify").json()["agrees"]
