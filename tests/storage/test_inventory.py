"""Which chunks belong in the index, as SQL says it."""

from advanced_rag.models.documents import DEFAULT_TENANT, Chunk, DocumentVersion
from advanced_rag.models.identity import Reader
from advanced_rag.models.index import Generation
from advanced_rag.models.jobs import new_job
from advanced_rag.models.rights import Rights
from advanced_rag.storage.document_rows import NewVersion
from advanced_rag.storage.documents import DocumentRepository
from advanced_rag.storage.ids import chunk_id
from advanced_rag.storage.inventory import InventoryRepository, Place
from advanced_rag.storage.jobs import JobRepository
from advanced_rag.storage.rights import RightsRepository, StoredRights
from advanced_rag.storage.versions import VersionRepository

KEY, LAST = "handbook", "f" * 64


def chunk(version: int, key: str = KEY) -> Chunk:
    return Chunk(chunk_id(DEFAULT_TENANT, key, version, 0), key, version, 0, f"text {version}", (), 0, 6, 2)


def of(kind: str) -> Generation:
    return Generation(kind, 1, "any", 3)


def begin(transaction, version: int, domain: str | None = None) -> None:
    DocumentRepository(transaction).lock([KEY])
    document = DocumentVersion(KEY, version, "title", {}, domain)
    DocumentRepository(transaction).add_versions([NewVersion(document, "text", f"hash {version}", (chunk(version),))])


def test_what_is_visible_is_found_in_its_span_alone(write):
    write(lambda t: begin(t, 1, "law"))
    assert write(lambda t: InventoryRepository(t).visible("0", LAST, of("sparse"))) == {}
    write(lambda t: DocumentRepository(t).activate({KEY: 1}))
    own = chunk(1).chunk_id
    assert write(lambda t: InventoryRepository(t).visible("0", LAST, of("sparse"))) == {own: Place(KEY, 1)}
    assert write(lambda t: InventoryRepository(t).visible(own, LAST, of("sparse"))) == {own: Place(KEY, 1)}
    assert write(lambda t: InventoryRepository(t).visible("0", own, of("sparse"))) == {}
    assert write(lambda t: InventoryRepository(t).visible("0", LAST, of("domain_medicine"))) == {}
    kinds = ("sparse", "domain_law", "domain_medicine")
    assert [write(lambda t, kind=kind: InventoryRepository(t).count(of(kind))) for kind in kinds] == [1, 1, 0]


def test_what_is_being_indexed_is_wanted_and_what_was_replaced_is_not(write):
    for version in (1, 2):
        write(lambda t, version=version: begin(t, version))
        write(lambda t, version=version: DocumentRepository(t).activate({KEY: version}))
    write(lambda t: begin(t, 3))
    wanted = sorted([chunk(2).chunk_id, chunk(3).chunk_id])
    assert write(lambda t: InventoryRepository(t).page("", 10)) == wanted
    assert write(lambda t: InventoryRepository(t).page(wanted[0], 10)) == wanted[1:]
    everything = [chunk(version).chunk_id for version in (1, 2, 3)]
    assert sorted(write(lambda t: InventoryRepository(t).load(everything))) == wanted
    assert sorted(write(lambda t: InventoryRepository(t).standings(everything))) == wanted


def test_a_standing_changes_with_rights_with_metadata_and_with_the_activation(write):
    write(lambda t: begin(t, 1))
    before = write(lambda t: InventoryRepository(t).standings([chunk(1).chunk_id]))
    loaded = write(lambda t: InventoryRepository(t).load([chunk(1).chunk_id]))[chunk(1).chunk_id]
    assert loaded.standing == before[chunk(1).chunk_id]
    write(lambda t: DocumentRepository(t).activate({KEY: 1}))
    active = write(lambda t: InventoryRepository(t).standings([chunk(1).chunk_id]))
    write(lambda t: RightsRepository(t).set({KEY: Rights("me", "private")}))
    private = write(lambda t: InventoryRepository(t).standings([chunk(1).chunk_id]))
    write(lambda t: VersionRepository(t).describe(KEY, 1, {"n": 1}, "another hash"))
    described = write(lambda t: InventoryRepository(t).standings([chunk(1).chunk_id]))
    assert len({found[chunk(1).chunk_id] for found in (before, active, private, described)}) == 4


def test_a_version_on_its_way_brings_its_own_rights(write):
    write(lambda t: begin(t, 1))
    write(lambda t: DocumentRepository(t).activate({KEY: 1}))
    write(lambda t: begin(t, 2))
    planned = Rights("me", "private")
    write(lambda t: RightsRepository(t).plan(KEY, 2, StoredRights(planned, 1)))
    both = [chunk(1).chunk_id, chunk(2).chunk_id]
    loaded = write(lambda t: InventoryRepository(t).load(both))
    assert [loaded[key].rights for key in both] == [Rights(), planned]
    now = write(lambda t: InventoryRepository(t).standings(both))
    assert {key: item.standing for key, item in loaded.items()} == now


def test_what_jobs_are_at_is_known_until_they_end(write):
    job = new_job(DEFAULT_TENANT, "purge", KEY, 1, 3)
    write(lambda t: JobRepository(t, "me").add([job], lease_s=60))
    assert write(lambda t: InventoryRepository(t).pending()) == [(Place(KEY, 1), 3)]
    write(lambda t: JobRepository(t, "me").finish([job.id]))
    assert write(lambda t: InventoryRepository(t).pending()) == []


def test_a_deleted_document_is_not_wanted(write):
    write(lambda t: begin(t, 1))
    write(lambda t: DocumentRepository(t).activate({KEY: 1}))
    write(lambda t: DocumentRepository(t).remove(KEY, Reader(DEFAULT_TENANT, None)))
    assert write(lambda t: InventoryRepository(t).standings([chunk(1).chunk_id])) == {}
