"""MaxSim scores as its definition says, within -1 to 1; packing loses no more than it says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from advanced_rag.ranking.maxsim import maxsim, pack, pool, unpack

DIMENSION = 8
NUMBERS = st.floats(-1, 1, width=32).filter(lambda value: value == 0 or abs(value) > 1e-3)


def unit(vectors: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (np.where(lengths > 0, vectors, np.eye(DIMENSION)[0]) / np.where(lengths > 0, lengths, 1)).astype(np.float32)


def several(least: int, most: int = 12) -> st.SearchStrategy[np.ndarray]:
    shapes = st.tuples(st.integers(least, most), st.just(DIMENSION))
    return shapes.flatmap(lambda shape: arrays(np.float32, shape, elements=NUMBERS)).map(unit)


@given(query=several(1), pages=st.lists(several(1), max_size=5))
def test_each_vector_of_the_query_counts_with_its_best_match(query, pages):
    expected = [np.mean([max(float(q @ p) for p in page) for q in query]) for page in pages]
    found = maxsim(query, pages)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.clip(expected, -1, 1), atol=1e-5)
    assert np.all(np.abs(found) <= 1)


@given(page=several(1), more=several(1), query=several(1))
def test_a_page_never_loses_by_having_more_on_it(page, more, query):
    alone, both = maxsim(query, [page, np.concatenate([page, more])])
    assert both >= alone - 1e-6


@given(page=several(1))
def test_a_page_finds_itself(page):
    assert maxsim(page, [page])[0] == pytest.approx(1, abs=1e-5)


def test_pages_without_vectors_come_last_and_disturb_nobody():
    query = np.eye(DIMENSION, dtype=np.float32)[:2]
    nothing = np.empty((0, DIMENSION), dtype=np.float32)
    assert maxsim(query, [nothing, query, nothing, -query, nothing]).tolist() == [-1, 1, -1, 0, -1]
    assert maxsim(query, []).tolist() == []
    assert maxsim(nothing, [query, nothing]).tolist() == [0, 0]


@given(page=several(1))
def test_the_pooled_vector_has_length_one_and_points_where_the_others_do(page):
    pooled = pool(page)
    total = page.sum(axis=0)
    if np.linalg.norm(total) > 1e-3:
        assert np.linalg.norm(pooled) == pytest.approx(1, abs=1e-5)
        assert pooled @ total == pytest.approx(np.linalg.norm(total), rel=1e-4)


def test_what_cancels_out_has_no_direction():
    vector = np.eye(DIMENSION, dtype=np.float32)[:1]
    assert pool(np.concatenate([vector, -vector])).tolist() == [0] * DIMENSION
    assert pool(np.empty((0, DIMENSION), dtype=np.float32)).tolist() == [0] * DIMENSION


@given(page=several(0, 40), query=several(1))
def test_packing_takes_a_quarter_and_loses_half_a_step_a_number(page, query):
    packed = pack(page)
    back = unpack(packed)
    largest = np.abs(page).max(axis=1, initial=0, keepdims=True)
    assert len(packed) <= 7 + page.nbytes / 4 + 4 * len(page)
    assert (back.dtype, back.shape) == (np.float32, page.shape)
    assert np.all(np.abs(back - page) <= largest / 254 + 1e-6)
    lost = np.abs(maxsim(query, [back]) - maxsim(query, [page]))
    assert np.all(lost <= np.sqrt(DIMENSION) / 254 + 1e-5)


@given(packed=st.binary(max_size=64))
def test_what_was_not_packed_here_is_refused_or_whole(packed):
    try:
        vectors = unpack(packed)
    except ValueError:
        return
    assert len(packed) == 7 + vectors.size + 4 * len(vectors)


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"\0", lambda data: b"\2" + data[1:]])
def test_a_blob_that_is_cut_or_of_another_format_is_refused(change):
    with pytest.raises(ValueError, match="not packed"):
        unpack(change(pack(np.eye(DIMENSION, dtype=np.float32))))
