"""Verification tells what differs between SQL and Milvus, mends it, and leaves work in progress alone."""

import numpy as np
import pytest

from advanced_rag.models.documents import DEFAULT_TENANT, Chunk, DocumentVersion
from advanced_rag.models.index import SEMANTIC, SPARSE
from advanced_rag.models.jobs import new_job
from advanced_rag.models.rights import Rights
from advanced_rag.storage.collections import IndexRow
from advanced_rag.storage.document_rows import NewVersion
from advanced_rag.storage.documents import DocumentRepository
from advanced_rag.storage.ids import chunk_id
from advanced_rag.storage.jobs import JobRepository
from tests.support.service import INGEST

TEXT = "Otters hold hands while they sleep."


@pytest.fixture(autouse=True)
def document(service):
    assert service.post(INGEST, documents=[{"id": "otters", "text": TEXT}]).is_success


def verify(service, **body) -> dict:
    report = service.post("/v1/index/verify", **body).json()
    return {row["collection"]: (row["missing"], row["orphaned"], row["repaired"]) for row in report["collections"]}


def stray(service) -> None:
    """Write a vector that SQL knows nothing of."""
    row = IndexRow("ab" * 16, DEFAULT_TENANT, "cd" * 16, 1, {}, TEXT, ("*",), np.ones(384, dtype=np.float32) / 384**0.5)
    index = service.container.index
    index.store.upsert(index.generations[SEMANTIC], [row])


def test_a_stray_vector_is_found_and_removed(service):
    stray(service)
    assert verify(service)["semantic_g1"] == (0, 1, 0)
    assert verify(service, repair=True)["semantic_g1"] == (0, 1, 1)
    assert verify(service)["semantic_g1"] == (0, 0, 0)


def test_a_lost_collection_is_made_again_and_filled(service):
    index = service.container.index
    index.store.drop(index.generations[SPARSE])
    assert verify(service)["sparse_g1"] == (1, 0, 0)
    assert verify(service, repair=True)["sparse_g1"] == (1, 0, 1)
    assert service.post("/v1/retrieve", query="otters", search_mode="sparse").json()["hits"]


def test_vectors_of_a_version_in_work_are_left_alone(service):
    """Another replica has written vectors and not yet made them visible."""
    container, key = service.container, "half done"
    version = DocumentVersion(key, 1, "", {}, None)
    chunk = Chunk(chunk_id(DEFAULT_TENANT, key, 1, 0), key, 1, 0, TEXT, (), 0, len(TEXT), 8)

    def begin(connection):
        documents = DocumentRepository(connection)
        documents.lock([key])
        documents.add_versions([NewVersion(version, TEXT, "hash", (chunk,))])
        JobRepository(connection, "another replica").add([new_job(DEFAULT_TENANT, "ingest", key, 1, 2)], lease_s=60)

    service.run(container.database.write(DEFAULT_TENANT, begin))
    service.run(container.index.add(DEFAULT_TENANT, [(version, [chunk])], {key: Rights()}))
    assert verify(service, repair=True)["semantic_g1"] == (0, 0, 0)
    service.run(container.database.write(DEFAULT_TENANT, lambda c: DocumentRepository(c).activate({key: 1})))
    assert verify(service)["semantic_g1"] == (0, 0, 0)
