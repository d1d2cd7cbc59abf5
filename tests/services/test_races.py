"""Documents change while the index is built anew: whatever comes in between, SQL's last word is in every collection."""

from collections.abc import Awaitable, Callable

import pytest

from advanced_rag.models.documents import DEFAULT_TENANT, Chunk, DocumentVersion
from advanced_rag.models.identity import LOCAL, Reader
from advanced_rag.models.jobs import new_job
from advanced_rag.models.rights import Rights
from advanced_rag.storage.document_rows import NewVersion
from advanced_rag.storage.documents import DocumentRepository
from advanced_rag.storage.ids import chunk_id
from advanced_rag.storage.inventory import InventoryRepository
from advanced_rag.storage.jobs import JobRepository
from tests.support.live import LiveService
from tests.support.reindexing import fill, found, reindex, word
from tests.support.service import INGEST

pytestmark = pytest.mark.usefixtures("followed_at_once")

EVERYTHING = ("0", "f" * 64)


@pytest.fixture
def meanwhile(service: LiveService, monkeypatch: pytest.MonkeyPatch):
    """Do something once, after chunks were read for a new collection and before they are written to it."""

    def arrange(work: Callable[[], Awaitable[object]]) -> None:
        index, waiting = service.container.index, [work]
        fill_collections = index.fill

        async def fill(tenant, rows, collections, **options):
            is_new = any(item.state == "building" for item in collections) and len(collections) == 1
            if is_new and waiting:
                await waiting.pop()()
            await fill_collections(tenant, rows, collections, **options)

        monkeypatch.setattr(index, "fill", fill)

    return arrange


def chunks(service: LiveService, kind: str) -> set[str]:
    store, generation = service.container.index.store, service.container.index.generations[kind]
    return set(store.between(generation, DEFAULT_TENANT, *EVERYTHING))


def wanted(service: LiveService, kind: str) -> set[str]:
    read, generation = service.container.database.read, service.container.index.generations[kind]
    return set(service.run(read(DEFAULT_TENANT, lambda t: InventoryRepository(t).visible(*EVERYTHING, generation))))


def test_a_document_that_is_deleted_after_it_was_read_does_not_stay(service, meanwhile):
    fill(service, 4)
    meanwhile(lambda: service.container.removal.delete(LOCAL, "d2"))
    run = reindex(service, kinds=["semantic"])
    assert run["result"]["mended"] == {"semantic": 0}  # it was removed where it was written
    assert chunks(service, "semantic") == wanted(service, "semantic")
    assert len(wanted(service, "semantic")) == 3


def test_a_document_that_is_replaced_after_it_was_read_is_there_once(service, meanwhile):
    fill(service, 4)
    new = {"documents": [{"id": "d2", "text": "Badger 2 moved to limestone."}]}
    meanwhile(lambda: service.gather([("POST", INGEST, new)]))
    reindex(service, kinds=["sparse"])
    assert chunks(service, "sparse") == wanted(service, "sparse")
    assert found(service, "limestone", search_mode="sparse") == ["d2"]
    assert found(service, word(2), search_mode="sparse") == []


def test_rights_that_change_after_they_were_read_are_those_the_new_collection_has(service, meanwhile):
    fill(service, 4)
    private = Rights(owner=LOCAL.user_id, visibility="private")
    meanwhile(lambda: service.container.rights.change(LOCAL, "d2", private))
    reindex(service, kinds=["sparse"])
    index = service.container.index
    reader = Reader(DEFAULT_TENANT, frozenset({"u:someone"}))
    (hits,) = index.store.search(index.generations["sparse"], reader, [f"badger {word(2)}"], limit=10)
    assert len(hits) == 3


def test_metadata_that_change_after_they_were_read_are_those_the_new_collection_is_filtered_by(service, meanwhile):
    fill(service, 4, metadata={"year": 2025})
    meanwhile(lambda: service.gather([("PATCH", "/v1/documents/d2", {"metadata": {"year": 2026}})]))
    reindex(service, kinds=["sparse"])
    assert found(service, "badger", search_mode="sparse", filters={"year": 2026}) == ["d2"]
    assert len(found(service, "badger", search_mode="sparse", filters={"year": 2025})) == 3


def test_a_version_whose_first_part_was_indexed_before_is_whole_in_the_new_collection(service):
    """A large document is in work: what was written of it went to the live collection alone."""
    key, text = "large", "Voles dig marblestone."
    version = DocumentVersion(key, 1, "", {}, None)
    chunk = Chunk(chunk_id(DEFAULT_TENANT, key, 1, 0), key, 1, 0, text, (), 0, len(text), 8)

    def begin(transaction):
        DocumentRepository(transaction).lock([key])
        DocumentRepository(transaction).add_versions([NewVersion(version, text, "hash", (chunk,))])
        JobRepository(transaction, "another").add([new_job(DEFAULT_TENANT, "ingest", key, 1, 2)], lease_s=60)

    service.run(service.container.database.write(DEFAULT_TENANT, begin))
    service.run(service.container.index.add(DEFAULT_TENANT, [(version, [chunk])], {key: Rights()}))
    reindex(service, kinds=["sparse"])
    service.run(service.container.database.write(DEFAULT_TENANT, lambda t: DocumentRepository(t).activate({key: 1})))
    assert found(service, "marblestone", search_mode="sparse") == ["large"]
