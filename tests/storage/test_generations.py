"""Generations in SQL: one of a kind is live, one is building, and a switch is one transaction."""

from datetime import timedelta

import pytest
from sqlalchemy import Engine, update

from advanced_rag.config import DatabaseSettings
from advanced_rag.exceptions import ConflictError
from advanced_rag.models.index import Generation
from advanced_rag.models.reindex import EvaluationSet, Progress, ReindexOptions
from advanced_rag.storage.database import Database, Transaction
from advanced_rag.storage.generations import GenerationRepository
from advanced_rag.storage.migrations import check_schema
from advanced_rag.storage.reindexes import ReindexRepository
from advanced_rag.storage.tables import index_generations, now

OLD, NEW = Generation("semantic", 1, "old", 3, "a"), Generation("semantic", 2, "new", 4, "b")


@pytest.fixture
def across(engine: Engine, database_url: str):
    """Run a function in one transaction, as the services do."""
    check_schema(engine)
    database = Database(database_url, DatabaseSettings())
    yield database.write_across
    database.close()


def states(across) -> dict[str, str]:
    return {item.generation.collection: item.state for item in across(lambda t: GenerationRepository(t).all())}


@pytest.fixture
def built(across):
    across(lambda t: GenerationRepository(t).add_live(OLD))
    across(lambda t: GenerationRepository(t).add_building(NEW))
    return across


def test_a_kind_has_one_live_and_one_building_generation(built):
    for number, add in ((3, GenerationRepository.add_live), (4, GenerationRepository.add_building)):
        with pytest.raises(ConflictError):
            built(lambda t, add=add, number=number: add(GenerationRepository(t), Generation("semantic", number, "x", 3)))
    assert states(built) == {"semantic_g1": "live", "semantic_g2": "building"}


def test_a_switch_and_the_way_back(built):
    built(lambda t: GenerationRepository(t).switch([NEW]))
    assert states(built) == {"semantic_g1": "retired", "semantic_g2": "live"}
    built(lambda t: GenerationRepository(t).go_back([OLD]))
    assert states(built) == {"semantic_g1": "live", "semantic_g2": "retired"}


def test_going_back_twice_at_once_is_going_back_once(built):
    built(lambda t: GenerationRepository(t).switch([NEW]))
    for _ in range(2):
        built(lambda t: GenerationRepository(t).go_back([OLD]))
    assert states(built) == {"semantic_g1": "live", "semantic_g2": "retired"}


def test_nothing_is_switched_when_one_is_no_longer_building(built):
    stranger = Generation("sparse", 1, "english", None)
    with pytest.raises(ConflictError):
        built(lambda t: GenerationRepository(t).switch([NEW, stranger]))
    assert states(built) == {"semantic_g1": "live", "semantic_g2": "building"}


def test_only_the_last_that_was_replaced_is_kept(built):
    built(lambda t: GenerationRepository(t).switch([NEW]))
    third = Generation("semantic", built(lambda t: GenerationRepository(t).next_number("semantic")), "x", 3)
    built(lambda t: GenerationRepository(t).add_building(third))
    built(lambda t: GenerationRepository(t).switch([third]))
    assert states(built) == {"semantic_g1": "dropping", "semantic_g2": "retired", "semantic_g3": "live"}


def test_what_is_live_is_never_given_up_or_forgotten(built):
    built(lambda t: GenerationRepository(t).give_up([OLD, NEW]))
    built(lambda t: GenerationRepository(t).give_up_retired(timedelta(0)))
    assert built(lambda t: GenerationRepository(t).claim_unused(timedelta(0))) == [NEW]
    built(lambda t: [GenerationRepository(t).forget(item) for item in (OLD, NEW)])
    assert states(built) == {"semantic_g1": "live"}


def test_nobody_goes_back_to_what_was_given_up(built):
    built(lambda t: GenerationRepository(t).switch([NEW]))
    built(lambda t: GenerationRepository(t).give_up([OLD]))
    with pytest.raises(ConflictError):
        built(lambda t: GenerationRepository(t).go_back([OLD]))
    assert states(built) == {"semantic_g1": "dropping", "semantic_g2": "live"}


def test_what_nobody_uses_is_dropped_by_one_and_not_at_once(built):
    assert built(lambda t: GenerationRepository(t).give_up_building())
    assert not built(lambda t: GenerationRepository(t).give_up_building())
    assert built(lambda t: GenerationRepository(t).claim_unused(timedelta(minutes=2))) == []
    long_ago = {"changed_at": now() - timedelta(minutes=3)}
    built(lambda t: t.connection.execute(update(index_generations).values(long_ago)))
    claimed = [built(lambda t: GenerationRepository(t).claim_unused(timedelta(minutes=2))) for _ in range(2)]
    assert claimed == [[NEW], []]


OPTIONS = ReindexOptions(kinds=("semantic",), evaluation=EvaluationSet({"q": "what?"}, {"q": {"d": 1}}))


def test_one_run_at_a_time_is_worked_on_by_one(across):
    across(lambda t: ReindexRepository(t).add("first", OPTIONS))
    with pytest.raises(ConflictError):
        across(lambda t: ReindexRepository(t).add("second", OPTIONS))
    claimed = across(lambda t: ReindexRepository(t, "me").claim(60))
    assert claimed is not None
    assert claimed.options == OPTIONS
    assert across(lambda t: ReindexRepository(t, "you").claim(60)) is None
    assert not across(lambda t: ReindexRepository(t).is_waiting())


def test_who_lost_a_run_changes_nothing_any_more(across):
    across(lambda t: ReindexRepository(t).add("first", OPTIONS))
    across(lambda t: ReindexRepository(t, "me").claim(0.0))
    taken = across(lambda t: ReindexRepository(t, "you").claim(60))
    assert not across(lambda t: ReindexRepository(t, "me").renew("first", 60))
    assert not across(lambda t: ReindexRepository(t, "me").advance("first", "building", Progress(done=9), {}))
    so_far = {"mended": {"sparse": 1}}
    assert across(lambda t: ReindexRepository(t, "you").advance("first", "building", Progress(("a",), done=1), so_far))
    assert across(lambda t: ReindexRepository(t).latest()).result == so_far

    def end_it(transaction: Transaction) -> bool:
        return ReindexRepository(transaction, "you").end(taken, "done", {"switched": {}})

    assert across(end_it)
    ended = across(lambda t: ReindexRepository(t).latest())
    assert (ended.state, ended.phase, ended.progress) == ("done", "ended", Progress(("a",), done=1))
    assert ended.options.evaluation is None  # what people ask is not kept
    across(lambda t: ReindexRepository(t).add("second", OPTIONS))
    assert across(lambda t: ReindexRepository(t).cancel()) == "second"
    assert across(lambda t: ReindexRepository(t).latest()).options.evaluation is None
    assert across(lambda t: ReindexRepository(t).cancel()) is None
