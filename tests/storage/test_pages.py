"""The vectors of pages live and die with their chunks, and are never another tenant's or another encoder's."""

import pytest

from advanced_rag.models.documents import DEFAULT_TENANT, Chunk, DocumentVersion, TenantId
from advanced_rag.models.identity import Reader
from advanced_rag.models.index import SEMANTIC, VISUAL, Generation
from advanced_rag.storage.document_rows import NewVersion
from advanced_rag.storage.documents import DocumentRepository
from advanced_rag.storage.ids import chunk_id
from advanced_rag.storage.inventory import InventoryRepository
from advanced_rag.storage.pages import PageRepository, PageVectors

KEY, VISUAL_INDEX = "slides", Generation(VISUAL, 1, "encoder", 3)
PAGE, OTHER_PAGE = (chunk_id(DEFAULT_TENANT, KEY, 1, ordinal) for ordinal in (0, 1))
ROWS = [PageVectors(PAGE, "encoder", b"\0first"), PageVectors(OTHER_PAGE, "older encoder", b"second")]


@pytest.fixture
def pages(write):
    """A document of two pages."""
    write(begin)

    def run(work, tenant: TenantId = DEFAULT_TENANT):
        return write(lambda transaction: work(PageRepository(transaction)), tenant)

    run(lambda repository: repository.put(ROWS))
    return run


def begin(transaction) -> None:
    repository = DocumentRepository(transaction)
    repository.lock([KEY])
    drawn = tuple(Chunk(key, KEY, 1, place, "", (), 0, 0, 0, place + 1) for place, key in enumerate((PAGE, OTHER_PAGE)))
    repository.add_versions([NewVersion(DocumentVersion(KEY, 1, "title", {}, None), "", "hash", drawn)])


def test_what_was_stored_is_read_back_if_the_same_encoder_made_it(pages):
    assert pages(lambda repository: repository.packed([PAGE, OTHER_PAGE, "0"], "encoder")) == {PAGE: b"\0first"}
    assert pages(lambda repository: repository.seen([PAGE, OTHER_PAGE, "0"], "encoder")) == {PAGE}
    assert pages(lambda repository: repository.packed([], "encoder")) == {}


def test_storing_again_takes_the_place_of_what_was_there(pages):
    pages(lambda repository: repository.put([PageVectors(PAGE, "encoder", b"anew")]))
    assert pages(lambda repository: repository.packed([PAGE], "encoder")) == {PAGE: b"anew"}


def test_another_tenant_sees_nothing_of_it(pages, write):
    theirs = TenantId("theirs")
    assert pages(lambda repository: repository.packed([PAGE], "encoder"), theirs) == {}
    assert write(lambda transaction: InventoryRepository(transaction).count(VISUAL_INDEX), theirs) == 0


def test_the_index_should_hold_the_pages_of_versions_that_are_visible(pages, write):
    def held(generation: Generation) -> set[str]:
        return set(write(lambda transaction: InventoryRepository(transaction).visible("0", "f" * 64, generation)))

    assert held(VISUAL_INDEX) == set()
    write(lambda transaction: DocumentRepository(transaction).activate({KEY: 1}))
    assert held(VISUAL_INDEX) == {PAGE}
    assert held(Generation(SEMANTIC, 1, "any", 3)) == set()  # there is no text


@pytest.mark.parametrize(
    "end",
    [
        lambda documents: documents.forget_chunks(KEY, 1, 2),
        lambda documents: documents.activate({KEY: 1}) and documents.remove(KEY, Reader(DEFAULT_TENANT, None)),
    ],
    ids=["purged", "deleted"],
)
def test_the_vectors_go_with_their_chunks(pages, write, end):
    write(lambda transaction: end(DocumentRepository(transaction)))
    assert pages(lambda repository: repository.packed([PAGE], "encoder")) == {}
