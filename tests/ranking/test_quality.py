"""Quality of rankings, as the field's own tool computes it."""

import ir_measures
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ir_measures import R, nDCG

from advanced_rag.ranking.quality import ndcg, recall

DOCUMENTS = [f"d{n:02}" for n in range(30)]


@given(
    ranking=st.permutations(DOCUMENTS).flatmap(lambda order: st.integers(0, 30).map(lambda n: order[:n])),
    gains=st.dictionaries(st.sampled_from(DOCUMENTS), st.integers(0, 3), min_size=1),
)
def test_both_figures_are_those_of_trec_eval(ranking, gains):
    judged = [ir_measures.Qrel("q", document, gain) for document, gain in gains.items()]
    found = [ir_measures.ScoredDoc("q", document, float(-place)) for place, document in enumerate(ranking)]
    if not found or not any(gains.values()):
        assert ndcg(ranking, gains) == recall(ranking, gains) == 0
        return
    theirs = ir_measures.calc_aggregate([nDCG @ 10, R @ 10], judged, found)
    assert ndcg(ranking, gains) == pytest.approx(theirs[nDCG @ 10])
    assert recall(ranking, gains) == pytest.approx(theirs[R @ 10])


def test_a_judgment_below_zero_is_no_gain():
    assert ndcg(["bad", "good"], {"bad": -1, "good": 1}) < 1
    assert recall(["bad"], {"bad": -1, "good": 1}) == 0
