from hypothesis import given
from hypothesis import strategies as st

from advanced_rag.models.retrieval import Candidate
from advanced_rag.ranking.fuse import fuse, single

LEGS = ("semantic", "sparse", "domain")


@st.composite
def rankings(draw):
    """Candidates of some legs, best first, as a vector store returns them."""
    legs = {}
    for leg in draw(st.lists(st.sampled_from(LEGS), unique=True, min_size=1)):
        ids = draw(st.lists(st.sampled_from("abcdefgh"), unique=True, max_size=8))
        scores = sorted(draw(st.lists(st.integers(-100, 3000), min_size=len(ids), max_size=len(ids))), reverse=True)
        legs[leg] = [Candidate(chunk_id, score / 100) for chunk_id, score in zip(ids, scores, strict=True)]
    return legs


def rounded(fused):
    return {item.chunk_id: round(item.score, 9) for item in fused}


weights = st.dictionaries(st.sampled_from(LEGS), st.floats(0, 1), max_size=3)


@given(rankings(), weights)
def test_every_candidate_appears_once_with_a_score_in_0_to_1(legs, chosen):
    fused = fuse(legs, chosen)
    assert sorted(item.chunk_id for item in fused) == sorted({c.chunk_id for leg in legs.values() for c in leg})
    assert all(-1e-9 <= item.score <= 1 + 1e-9 for item in fused)


@given(rankings(), weights)
def test_it_is_sorted_and_ties_are_broken_by_id(legs, chosen):
    fused = fuse(legs, chosen)
    assert fused == sorted(fused, key=lambda item: (-item.score, item.chunk_id))


@given(rankings(), weights)
def test_the_order_of_the_legs_does_not_matter(legs, chosen):
    backwards = fuse(dict(reversed(legs.items())), chosen)
    assert rounded(fuse(legs, chosen)) == rounded(backwards)


@given(rankings(), weights)
def test_a_score_is_the_sum_of_its_shares(legs, chosen):
    for item in fuse(legs, chosen):
        assert abs(item.score - sum(place.share for place in item.legs.values())) < 1e-9


@given(rankings())
def test_one_leg_keeps_its_order(legs):
    leg, candidates = next(iter(legs.items()))
    order = {candidate.chunk_id: candidate.score for candidate in candidates}
    scores = [order[item.chunk_id] for item in fuse({leg: candidates}, {leg: 1.0})]
    assert scores == sorted(scores, reverse=True)


def test_found_by_both_beats_found_by_one():
    legs = {
        "semantic": [Candidate("both", 0.9), Candidate("dense", 0.9), Candidate("last", 0.1)],
        "sparse": [Candidate("words", 9.0), Candidate("both", 9.0), Candidate("last", 1.0)],
    }
    assert fuse(legs, {"semantic": 0.5, "sparse": 0.5})[0].chunk_id == "both"


def test_a_leg_that_found_nothing_takes_no_weight_away():
    legs = {"semantic": [Candidate("a", 0.9), Candidate("b", 0.1)], "sparse": []}
    alone = {"semantic": legs["semantic"]}
    assert fuse(legs, {"semantic": 0.2, "sparse": 0.8}) == fuse(alone, {"semantic": 1.0})


def test_a_single_leg_is_ranked_by_its_own_scores():
    alone = single("sparse", [Candidate("a", 12.5), Candidate("b", 3.0)])
    assert [(item.chunk_id, item.score, item.legs["sparse"].rank) for item in alone] == [("a", 12.5, 1), ("b", 3.0, 2)]
