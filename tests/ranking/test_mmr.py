import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from advanced_rag.ranking.mmr import mmr


def unit(rows: list[list[float]]) -> np.ndarray:
    vectors = np.array(rows, dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@st.composite
def items(draw):
    count = draw(st.integers(1, 12))
    generator = np.random.default_rng(draw(st.integers(0, 1000)))
    relevance = generator.random(count).astype(np.float32)
    return relevance, unit(generator.normal(size=(count, 6)).tolist())


@given(items(), st.integers(1, 15), st.floats(0, 1))
def test_it_picks_different_items_and_no_more_than_asked(found, top_k, trade_off):
    relevance, vectors = found
    picked = mmr(relevance, vectors, top_k=top_k, trade_off=trade_off)
    assert len(picked) == len(set(picked)) == min(top_k, len(relevance))


@given(items())
def test_the_first_pick_is_the_most_relevant(found):
    relevance, vectors = found
    assert mmr(relevance, vectors, top_k=1, trade_off=0.5) == [int(np.argmax(relevance))]


@given(items())
def test_relevance_alone_is_the_order_by_relevance(found):
    relevance, vectors = found
    assert mmr(relevance, vectors, top_k=12, trade_off=1.0) == np.argsort(-relevance, kind="stable").tolist()


def test_a_copy_of_the_first_hit_comes_after_something_else():
    vectors = unit([[1, 0], [1, 0.01], [0, 1]])
    assert mmr(np.array([1.0, 0.99, 0.6], dtype=np.float32), vectors, top_k=3, trade_off=0.5) == [0, 2, 1]
