import threading

import numpy as np
import pytest

from advanced_rag.encoders.workers import PASSAGES, QUERIES, EncoderWorkers
from advanced_rag.exceptions import EncoderError, OverloadedError

PATIENCE_S = 10


def vectors(texts):
    return np.zeros((len(texts), 2), dtype=np.float32)


@pytest.fixture
def workers():
    made = EncoderWorkers(threads=1, max_waiting=3)
    yield made
    made.close()


@pytest.fixture
def hold(workers):
    """Keep the one thread busy until the event is set."""
    started, release = threading.Event(), threading.Event()

    def wait(texts):
        started.set()
        release.wait(PATIENCE_S)
        return vectors(texts)

    workers.submit(PASSAGES, wait, ["first"])
    assert started.wait(PATIENCE_S)
    yield release
    release.set()


def test_queries_go_before_passages_that_came_earlier(workers, hold):
    order: list[str] = []

    def note(texts):
        order.extend(texts)
        return vectors(texts)

    results = [workers.submit(PASSAGES, note, ["passage"]), workers.submit(QUERIES, note, ["query"])]
    hold.set()
    for result in results:
        result.result(PATIENCE_S)
    assert order == ["query", "passage"]


def test_what_does_not_fit_the_queue_is_turned_away(workers, hold):
    for _ in range(3):
        workers.submit(PASSAGES, vectors, ["x"])
    with pytest.raises(OverloadedError):
        workers.submit(QUERIES, vectors, ["x"])


def test_a_failure_reaches_the_caller_and_the_thread_lives_on(workers):
    def fail(_texts):
        raise EncoderError("broken")

    with pytest.raises(EncoderError):
        workers.submit(QUERIES, fail, ["x"]).result(PATIENCE_S)
    assert workers.submit(QUERIES, vectors, ["x"]).result(PATIENCE_S).shape == (1, 2)


def test_closing_finishes_what_is_queued():
    workers = EncoderWorkers(threads=2, max_waiting=10)
    results = [workers.submit(PASSAGES, vectors, ["x"]) for _ in range(5)]
    workers.close()
    assert all(result.done() for result in results)


def test_while_questions_are_asked_a_thread_is_free_for_them():
    workers = EncoderWorkers(threads=2, max_waiting=10, clock=lambda: 0.0)  # a second is never over
    started, release = threading.Event(), threading.Event()

    def wait(texts):
        started.set()
        release.wait(PATIENCE_S)
        return vectors(texts)

    try:
        workers.submit(QUERIES, vectors, ["a question"]).result(PATIENCE_S)
        passages = [workers.submit(PASSAGES, wait, ["passage"]) for _ in range(2)]
        assert started.wait(PATIENCE_S)
        workers.submit(QUERIES, vectors, ["another"]).result(PATIENCE_S)
        assert workers.waiting == 1
        release.set()
        for passage in passages:
            passage.result(PATIENCE_S)
    finally:
        workers.close()


def test_when_nobody_asks_any_more_every_thread_takes_passages():
    workers = EncoderWorkers(threads=2, max_waiting=10, quiet_s=0.01)
    both = threading.Barrier(2)

    def meet(texts):
        both.wait(PATIENCE_S)
        return vectors(texts)

    try:
        workers.submit(QUERIES, vectors, ["a question"]).result(PATIENCE_S)
        for passage in [workers.submit(PASSAGES, meet, ["passage"]) for _ in range(2)]:
            passage.result(PATIENCE_S)
    finally:
        workers.close()
