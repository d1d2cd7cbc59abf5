"""The contract of the vector store: on Milvus Lite, and on the server RAG_TEST_MILVUS_URI names."""

import itertools
import os
import uuid
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advanced_rag.config import MilvusSettings
from advanced_rag.exceptions import VectorStoreRefusedError
from advanced_rag.models.documents import TenantId
from advanced_rag.models.filters import MAX_IN_VALUES, matches, parse_filter
from advanced_rag.models.identity import Reader
from advanced_rag.models.index import VISUAL, Generation
from advanced_rag.storage.collections import IndexRow
from advanced_rag.storage.filters import facets, labels
from advanced_rag.storage.ids import chunk_id, document_key
from advanced_rag.storage.vectors import VectorStore, VersionRange

OURS, THEIRS = TenantId("ours"), TenantId("theirs")
SEMANTIC = Generation("semantic", 1, "test", 8)
SPARSE = Generation("sparse", 1, "english", None)
PAGES = Generation(VISUAL, 1, "test", 8)
EVERYWHERE = np.ones(8, dtype=np.float32)
URIS = ["embedded", *([os.environ["RAG_TEST_MILVUS_URI"]] if "RAG_TEST_MILVUS_URI" in os.environ else [])]


@pytest.fixture(scope="module", params=URIS)
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VectorStore]:
    is_embedded = request.param == "embedded"
    uri = str(tmp_path_factory.mktemp("milvus") / "m.db") if is_embedded else request.param
    prefix = f"t{uuid.uuid4().hex[:8]}_"
    opened = VectorStore.open(uri, MilvusSettings(collection_prefix=prefix), is_embedded=is_embedded)
    for generation in (SEMANTIC, SPARSE, PAGES):
        assert opened.ensure(generation)
        assert not opened.ensure(generation)
    yield opened
    for generation in (SEMANTIC, SPARSE, PAGES):
        opened.drop(generation)
    opened.close()


def row(tenant: TenantId, document: str, version: int = 1, metadata: dict | None = None, **options) -> IndexRow:
    return IndexRow(
        chunk_id=chunk_id(tenant, document, version, 0),
        tenant=tenant,
        document_key=document_key(tenant, document),
        version=version,
        facets=facets({"document_id": document}, metadata or {}),
        text=options.get("text", document),
        readers=options.get("readers", labels(None)),
        vector=options.get("vector", EVERYWHERE),
    )


def reader(tenant: TenantId) -> Reader:
    return Reader(tenant, None)


def found(store: VectorStore, tenant: TenantId, **options) -> set[str]:
    return {hit.chunk_id for hit in store.search(SEMANTIC, reader(tenant), [EVERYWHERE], limit=1000, **options)[0]}


def test_pages_are_found_by_their_pooled_vectors_with_tenant_and_rights_as_everywhere(store):
    mine = row(OURS, "slides", vector=EVERYWHERE)
    hidden = row(OURS, "secret slides", vector=EVERYWHERE, readers=labels(frozenset({"user:eve"})))
    store.upsert(PAGES, [mine, hidden, row(THEIRS, "slides")])
    adam = Reader(OURS, frozenset({"user:adam"}))
    assert [hit.chunk_id for hit in store.search(PAGES, adam, [EVERYWHERE], limit=10)[0]] == [mine.chunk_id]
    store.purge(PAGES, OURS, [VersionRange(mine.document_key, 1, 2)])
    assert store.search(PAGES, adam, [EVERYWHERE], limit=10) == [[]]


def test_a_tenant_finds_its_own_chunks_alone(store):
    ours, theirs = row(OURS, "shared id"), row(THEIRS, "shared id")
    store.upsert(SEMANTIC, [ours, theirs])
    assert ours.chunk_id in found(store, OURS)
    assert theirs.chunk_id not in found(store, OURS)
    assert set(store.vectors(SEMANTIC, OURS, [ours.chunk_id, theirs.chunk_id])) == {ours.chunk_id}
    store.delete(SEMANTIC, OURS, [theirs.chunk_id])
    assert theirs.chunk_id in found(store, THEIRS)


def test_writing_twice_is_writing_once(store):
    item = row(TenantId("twice"), "a")
    for _ in range(2):
        store.upsert(SEMANTIC, [item])
    assert list(store.between(SEMANTIC, TenantId("twice"), "0", "f" * 64)) == [item.chunk_id]
    assert store.size(SEMANTIC, TenantId("twice")) == 1


def test_the_nearest_comes_first_and_batches_keep_their_order(store):
    tenant = TenantId("nearest")
    vectors = np.eye(8, dtype=np.float32)
    rows = [row(tenant, str(n), vector=vectors[n]) for n in range(8)]
    store.upsert(SEMANTIC, rows)
    answers = store.search(SEMANTIC, reader(tenant), list(vectors), limit=1)
    assert [hits[0].chunk_id for hits in answers] == [item.chunk_id for item in rows]
    assert all(hits[0].score == pytest.approx(1.0) for hits in answers)


def test_bm25_finds_stems_and_ranks_the_rarer_word_higher(store):
    tenant = TenantId("words")
    rows = [
        row(tenant, str(n), text=text) for n, text in enumerate(["pumps and valves", "valves", "valves again", "nothing"])
    ]
    store.upsert(SPARSE, rows)
    hits = store.search(SPARSE, reader(tenant), ["pump valve"], limit=10)[0]
    assert hits[0].chunk_id == rows[0].chunk_id
    assert {hit.chunk_id for hit in hits} == {item.chunk_id for item in rows[:3]}
    assert hits[0].score > hits[1].score > 0


def test_a_purge_takes_its_range_and_nothing_else(store):
    tenant = TenantId("purge")
    versions = {n: row(tenant, "doc", n) for n in range(1, 5)}
    other = row(tenant, "other", 1)
    store.upsert(SEMANTIC, [*versions.values(), other])
    store.purge(SEMANTIC, tenant, [VersionRange(document_key(tenant, "doc"), 0, 3)])
    assert found(store, tenant) == {versions[3].chunk_id, versions[4].chunk_id, other.chunk_id}


def test_a_purge_takes_hundreds_of_ranges(store):
    tenant = TenantId("purges")
    rows = [row(tenant, f"doc{n}") for n in range(300)]
    store.upsert(SEMANTIC, rows)
    store.purge(SEMANTIC, tenant, [VersionRange(item.document_key, 0, 2) for item in rows[1:]])
    assert found(store, tenant) == {rows[0].chunk_id}


@pytest.mark.parametrize("operator", ["$in", "$nin"])
def test_a_filter_takes_as_many_values_as_it_may_have(store, operator):
    tenant = TenantId(f"values{operator.removeprefix('$')}")
    rows = [row(tenant, f"doc{n}", metadata={"n": n}) for n in (99, 100)]
    store.upsert(SEMANTIC, rows)
    condition = parse_filter({"n": {operator: list(range(MAX_IN_VALUES))}})
    assert found(store, tenant, condition=condition) == {rows[operator == "$nin"].chunk_id}


def test_a_collection_without_a_single_row_has_no_vectors(store):
    empty = Generation("semantic", 7, "test", 8)
    store.ensure(empty)
    assert store.vectors(empty, OURS, [row(OURS, "nothing").chunk_id]) == {}
    store.drop(empty)


@pytest.mark.parametrize("hostile", ['x"] or true or chunk_id in ["', "", "zz", "a" * 65])
def test_an_id_that_is_not_ours_never_reaches_the_store(store, hostile):
    with pytest.raises(VectorStoreRefusedError):
        store.delete(SEMANTIC, OURS, [hostile])


def test_a_tenant_id_that_is_none_never_reaches_the_store(store):
    with pytest.raises(VectorStoreRefusedError):
        found(store, TenantId('x" or tenant_id != "'))


def test_an_index_without_a_single_text_finds_nothing(store):
    empty = Generation("sparse", 7, "english", None)
    store.ensure(empty)
    assert store.search(empty, reader(OURS), ["otters", "pebbles"], limit=3) == [[], []]
    store.upsert(empty, [row(OURS, "first", text="otters juggle pebbles")])
    assert len(store.search(empty, reader(OURS), ["otters"], limit=3)[0]) == 1
    store.drop(empty)


def test_a_missing_collection_is_refused(store):
    with pytest.raises(VectorStoreRefusedError):
        store.search(Generation("semantic", 99, "x", 8), reader(OURS), [EVERYWHERE], limit=1)


HOSTILE = ['de" or tenant_id != "', "\\", '\\"', "%", "é漢😀", "", "a\nb", "true", "1", "{x}", "' or 1==1 --"]
SCALARS = st.one_of(
    st.sampled_from([*HOSTILE, "de", "en", "2024-01-31"]),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([0.5, 1.0, -1e300]),
)
KEYS = ["a", "b", "_c"]
PATHS = st.sampled_from([*KEYS, "n.a", "n.m.b", "metadata.a"])
RANGE_BOUNDS = st.one_of(
    st.sampled_from([t for t in HOSTILE if "\n" not in t] + ["de", "2024"]), st.integers(-3, 3), st.just(0.5)
)
CONDITIONS = st.one_of(
    SCALARS,
    st.builds(lambda o, v: {o: v}, st.sampled_from(["$eq", "$ne"]), SCALARS),
    st.builds(lambda o, v: {o: v}, st.sampled_from(["$gt", "$gte", "$lt", "$lte"]), RANGE_BOUNDS),
    st.builds(lambda o, v: {o: v}, st.sampled_from(["$in", "$nin"]), st.lists(SCALARS, min_size=1, max_size=4)),
    st.builds(lambda v: {"$exists": v}, st.booleans()),
)
FILTERS = st.recursive(
    st.dictionaries(PATHS, CONDITIONS, min_size=1, max_size=2),
    lambda inner: st.one_of(
        st.builds(lambda parts: {"$and": parts}, st.lists(inner, min_size=1, max_size=2)),
        st.builds(lambda parts: {"$or": parts}, st.lists(inner, min_size=1, max_size=2)),
        st.builds(lambda part: {"$not": part}, inner),
    ),
    max_leaves=3,
)


def sample_documents() -> dict[str, dict]:
    """Every scalar under every key, in lists and nested, alone and beside others."""
    values = [
        *HOSTILE,
        "de",
        "2024-01-31",
        True,
        False,
        0,
        1,
        -2,
        3,
        0.5,
        1.0,
        None,
        [],
        ["de", 1],
        [True, "é漢😀"],
        {"a": 1},
    ]
    metadata = [{"a": value, "_c": values[(n * 7) % len(values)]} for n, value in enumerate(values)]
    metadata += [
        {"b": value, "n": {"a": value, "m": {"b": values[(n * 5) % len(values)]}}} for n, value in enumerate(values)
    ]
    return {str(n): item for n, item in enumerate([{}, *metadata])}


@pytest.fixture(scope="module")
def documents(store: VectorStore) -> dict[str, dict]:
    items = sample_documents()
    store.upsert(SEMANTIC, [row(TenantId("filters"), key, metadata=item) for key, item in items.items()])
    return items


@given(raw=FILTERS)
def test_the_store_keeps_exactly_what_the_filter_means(store, documents, raw):
    condition = parse_filter(raw)
    tenant = TenantId("filters")
    expected = {
        chunk_id(tenant, key, 1, 0) for key, item in documents.items() if matches(condition, {"document_id": key}, item)
    }
    assert found(store, tenant, condition=condition) == expected


SUBJECTS = ["u:a", "u:b", "g:a", "g:b", 'u:"] or true or x in ["', "u:é漢\n"]


@pytest.fixture(scope="module")
def restricted(store: VectorStore) -> dict[str, frozenset[str] | None]:
    """Documents with every access list of up to two subjects, and some for everybody."""
    lists = [frozenset(pair) for pair in itertools.combinations_with_replacement(SUBJECTS, 2)]
    readers: dict[str, frozenset[str] | None] = {str(n): subjects for n, subjects in enumerate([None, *lists, None])}
    rows = [row(TenantId("rights"), key, readers=labels(subjects)) for key, subjects in readers.items()]
    store.upsert(SEMANTIC, rows)
    return readers


@given(asking=st.frozensets(st.sampled_from(SUBJECTS)))
def test_a_reader_finds_exactly_what_is_open_to_him(store, restricted, asking):
    tenant = TenantId("rights")
    expected = {
        chunk_id(tenant, key, 1, 0)
        for key, subjects in restricted.items()
        if subjects is None or not subjects.isdisjoint(asking)
    }
    hits = store.search(SEMANTIC, Reader(tenant, asking), [EVERYWHERE], limit=1000)[0]
    assert {hit.chunk_id for hit in hits} == expected
