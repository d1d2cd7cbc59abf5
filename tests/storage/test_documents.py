"""Documents in SQL: what may be seen never goes back, whatever order crashes and replicas bring."""

from advanced_rag.models.documents import DEFAULT_TENANT, Chunk, DocumentVersion, TenantId
from advanced_rag.models.identity import Reader
from advanced_rag.storage.document_rows import NewVersion
from advanced_rag.storage.documents import DocumentRepository
from advanced_rag.storage.hydration import hydrate
from advanced_rag.storage.ids import chunk_id
from advanced_rag.storage.inventory import InventoryRepository

KEY = "handbook"
EVERYTHING = Reader(DEFAULT_TENANT, None)


def chunk(version: int, tenant: TenantId = DEFAULT_TENANT) -> Chunk:
    return Chunk(chunk_id(tenant, KEY, version, 0), KEY, version, 0, f"text {version}", ("A", "B"), 0, 6, 2)


def begin(connection, version: int) -> None:
    documents = DocumentRepository(connection)
    documents.lock([KEY])
    document = DocumentVersion(KEY, version, f"title {version}", {"n": version}, None)
    documents.add_versions([NewVersion(document, f"text {version}", f"hash {version}", (chunk(version),))])


def activate(connection, version: int) -> dict[str, int]:
    return DocumentRepository(connection).activate({KEY: version})


def visible(connection, *versions: int) -> set[int]:
    found = hydrate(connection, [chunk(version).chunk_id for version in versions], EVERYTHING)
    return {item.chunk.version for item in found.values()}


def test_a_version_is_seen_from_its_activation_on(write):
    write(lambda c: begin(c, 1))
    assert write(lambda c: visible(c, 1)) == set()
    assert write(lambda c: activate(c, 1)) == {KEY: 1}
    (found,) = write(lambda c: hydrate(c, [chunk(1).chunk_id], EVERYTHING)).values()
    assert found.chunk == chunk(1)
    assert found.document == DocumentVersion(KEY, 1, "title 1", {"n": 1}, None)


def test_an_older_version_that_finishes_late_changes_nothing(write):
    for version in (1, 2):
        write(lambda c, version=version: begin(c, version))
    write(lambda c: activate(c, 2))
    assert write(lambda c: activate(c, 1)) == {}
    assert write(lambda c: visible(c, 1, 2)) == {2}


def test_a_version_begun_before_a_deletion_stays_invisible_after_it(write):
    write(lambda c: begin(c, 1))
    write(lambda c: activate(c, 1))
    write(lambda c: begin(c, 2))
    assert write(lambda c: DocumentRepository(c).remove(KEY, EVERYTHING)) == 3
    assert write(lambda c: activate(c, 2)) == {}
    assert write(lambda c: visible(c, 1, 2)) == set()


def test_after_a_deletion_versions_go_on_above_the_floor(write):
    write(lambda c: begin(c, 1))
    write(lambda c: activate(c, 1))
    floor = write(lambda c: DocumentRepository(c).remove(KEY, EVERYTHING))
    state = write(lambda c: DocumentRepository(c).lock([KEY]))[KEY]
    assert (state.current_version, state.last_version + 1) == (None, floor)
    write(lambda c: begin(c, floor))
    assert write(lambda c: activate(c, floor)) == {KEY: floor}


def test_a_deletion_of_nothing_says_so(write):
    assert write(lambda c: DocumentRepository(c).remove("nothing", EVERYTHING)) is None


def test_another_tenant_sees_nothing_of_it(write):
    write(lambda c: begin(c, 1))
    write(lambda c: activate(c, 1))
    theirs = TenantId("theirs")
    assert write(lambda c: hydrate(c, [chunk(1).chunk_id], EVERYTHING), theirs) == {}
    assert write(lambda c: DocumentRepository(c).get(KEY, EVERYTHING), theirs) is None
    assert write(lambda c: InventoryRepository(c).size(), theirs) == 0
