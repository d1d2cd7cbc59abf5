"""Two processes on one database and one Milvus: what one builds and switches, the other follows within seconds."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from advanced_rag.config import AuthSettings, MilvusSettings
from tests.conftest import make_data_dir, make_database
from tests.support.live import LiveService
from tests.support.milvus import running_milvus
from tests.support.reindexing import fill, found, live, reindex, word
from tests.support.service import INGEST

FOLLOWED_S = 5.0


@pytest.fixture
def replicas(tmp_path: Path, prepared_encoders: Path, postgres: str) -> Iterator[tuple[LiveService, LiveService]]:
    folders = [make_data_dir(tmp_path / name, prepared_encoders) for name in ("a", "b")]
    url = make_database(postgres)
    (tmp_path / "milvus").mkdir()
    with running_milvus(tmp_path / "milvus") as milvus:
        settings = {"milvus": MilvusSettings(uri=milvus.url), "auth": AuthSettings(secret=SecretStr("s" * 32))}
        with LiveService(folders[0], url, **settings) as a, LiveService(folders[1], url, **settings) as b:
            yield a, b


async def until_live(service: LiveService, collection: str) -> None:
    async with asyncio.timeout(FOLLOWED_S):
        while service.container.index.generations["sparse"].collection != collection:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.05)


def test_the_other_one_follows_a_switch_and_a_rollback_and_writes_to_both(replicas):
    a, b = replicas
    fill(a, 4)
    assert reindex(a, kinds=["sparse"])["state"] == "done"
    # B has not looked since: what it writes is in both all the same.
    assert b.container.index.generations["sparse"].collection == "sparse_g1"
    assert b.post(INGEST, documents=[{"id": "of-b", "text": "Voles dig flintstone."}]).is_success
    assert found(a, "flintstone", search_mode="sparse") == ["of-b"]
    b.run(until_live(b, "sparse_g2"))
    assert found(b, word(2), search_mode="sparse") == ["d2"]
    assert a.post("/v1/index/rollback").is_success
    b.run(until_live(b, "sparse_g1"))
    assert found(b, "flintstone", search_mode="sparse") == ["of-b"]
    assert live(a) == live(b)
    assert a.post("/v1/index/verify").json()["agrees"]
