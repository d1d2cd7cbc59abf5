"""Background work beside retrieval: slower as long as retrieval suffers, at full speed when nobody asks."""

import asyncio

import numpy as np
import pytest

from advanced_rag.services.pace import Pace

CALM_S, STEP_S = 0.02, 0.05


class World:
    """A clock, a crowd that asks at an even rate, and work that makes answers slower while a step of it is done."""

    def __init__(self, *, per_second: float, harm: float, slowdown: float = 0.5) -> None:
        self.now = 1000.0
        self._every_s = 1 / per_second if per_second else None
        self._next = self.now
        self._harm = harm
        self._dice = np.random.default_rng(0)
        self.latencies: list[float] = []
        self.worked_s = 0.0
        self.pace = Pace(slowdown, clock=lambda: self.now, sleep=self.sleep)

    async def sleep(self, seconds: float) -> None:
        self.pass_time(seconds, harm=1.0)

    def pass_time(self, seconds: float, *, harm: float) -> None:
        ends = self.now + seconds
        while self._every_s is not None and self._next <= ends:
            self.now = max(self.now, self._next)
            latency = CALM_S * harm * self._dice.uniform(0.9, 1.1)
            self.latencies.append(latency)
            self.pace.saw(latency)
            self._next += self._every_s
        self.now = ends

    def work(self, seconds: float) -> None:
        """Do steps for some time."""
        self.latencies.clear()
        self.worked_s, began = 0.0, self.now
        while self.now - began < seconds:
            self.pass_time(STEP_S, harm=self._harm)
            self.worked_s += STEP_S
            asyncio.run(self.pace.rest())

    def rise(self) -> float:
        return float(np.percentile(self.latencies, 95)) / CALM_S - 1


def test_nobody_asks_and_nothing_is_rested():
    world = World(per_second=0, harm=1.0)
    world.pace.begin()
    world.work(60)
    assert world.worked_s == pytest.approx(60, abs=STEP_S)
    assert world.pace.rests == 0


@pytest.mark.parametrize("harm", [2.0, 5.0, 20.0])
def test_the_95th_percentile_rises_by_less_than_it_may(harm):
    world = World(per_second=50, harm=harm)
    world.pace.begin()
    world.work(300)  # finds its pace
    world.work(300)
    assert world.rise() < 0.5
    assert world.worked_s > 1  # and goes on


def test_work_that_hurts_nobody_is_done_faster():
    harmless, harmful = World(per_second=50, harm=1.0), World(per_second=50, harm=5.0)
    for world in (harmless, harmful):
        world.pace.begin()
        world.work(300)
        world.work(300)
    assert harmless.worked_s > 5 * harmful.worked_s


class Recorder:
    """Stands for an encoder; notes how many passages it is given at once."""

    def __init__(self) -> None:
        self.given: list[int] = []

    async def passages(self, texts: list[str]) -> np.ndarray:
        self.given.append(len(texts))
        return np.array([[float(text)] for text in texts])


@pytest.mark.parametrize("asked", [False, True])
def test_few_passages_are_encoded_at_once_while_somebody_asks_and_all_in_their_order(asked):
    world, encoder = World(per_second=0, harm=1.0), Recorder()
    world.pace.begin()
    if asked:
        world.pace.saw(CALM_S)
    vectors = asyncio.run(world.pace.embed(encoder, [str(n) for n in range(70)]))
    assert vectors[:, 0].tolist() == list(range(70))
    assert max(encoder.given) == (4 if asked else 32)


def test_a_crowd_that_leaves_is_not_waited_for():
    world = World(per_second=50, harm=5.0)
    world.pace.begin()
    world.work(100)
    world._every_s = None
    world.work(60)
    assert world.worked_s > 45
