"""How fast background work goes on beside retrieval: as fast as that bears it, and no faster.

Work is done in small steps with rests between them, and every few seconds it pauses altogether. What retrieval takes in
those pauses is what it takes undisturbed; when it takes much more beside the work, the rests become longer, else shorter.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import numpy as np

from advanced_rag.services.embedding import Embedder
from advanced_rag.storage.collections import Vectors
from advanced_rag.telemetry import metrics

_WORK_S, _PAUSE_S = 4.0, 1.0
_SAMPLES, _FEWEST = 400, 80
_FIRST_REST, _LONGEST_REST = 4.0, 60.0  # times what the step took
_LONGEST_REST_S = 15.0
_STEP, _STEP_ALONE = 4, 32  # passages encoded between two rests; the second while nobody asks
_IDLE_S = 5.0  # nobody asked for so long: there is nobody to disturb

Sleep = Callable[[float], Awaitable[None]]


class Tempo(Protocol):
    """How work is done that others should not notice."""

    async def embed(self, embedder: Embedder, texts: Sequence[str]) -> Vectors:
        """Return the vectors of passages."""
        ...

    async def rest(self) -> None:
        """Wait until the next step may begin."""
        ...


class FullSpeed:
    """For work that is waited for."""

    async def embed(self, embedder: Embedder, texts: Sequence[str]) -> Vectors:
        """Return the vectors of passages."""
        return await embedder.passages(texts)

    async def rest(self) -> None:
        """Go on at once."""


FULL_SPEED = FullSpeed()


class Pace:
    """Works beside retrieval; its 95th percentile may rise by the share ``slowdown``."""

    def __init__(self, slowdown: float, clock: Callable[[], float] = time.monotonic, sleep: Sleep = asyncio.sleep) -> None:
        self._slowdown = slowdown
        self._clock = clock
        self._sleep = sleep
        self._beside: deque[float] = deque(maxlen=_SAMPLES)
        self._alone: deque[float] = deque(maxlen=_SAMPLES)
        self._asked_at = -_IDLE_S
        self._stepped_at = self._began_at = clock()
        self._paused_at: float | None = clock()  # nobody works yet
        self._rest = _FIRST_REST

    @property
    def rests(self) -> float:
        """How long is rested after a step, in times of what it took; 0 while nobody asks."""
        return 0.0 if self._is_idle() else self._rest

    def saw(self, seconds: float) -> None:
        """Take note of how long a retrieval took that ends now."""
        self._asked_at = self._clock()
        if self._paused_at is None:
            self._beside.append(seconds)
        elif self._clock() - seconds >= self._paused_at:
            self._alone.append(seconds)

    async def embed(self, embedder: Embedder, texts: Sequence[str]) -> Vectors:
        """Return the vectors of passages, a few at a time."""
        found: list[Vectors] = []
        left = list(texts)
        while left:
            step = _STEP_ALONE if self._is_idle() else _STEP
            found.append(await embedder.passages(left[:step]))
            del left[:step]
            await self.rest()
        return np.concatenate(found)

    async def rest(self) -> None:
        """Rest as long as the last step asks for, and pause when it is time to."""
        now = self._clock()
        step_s = now - self._stepped_at
        metrics.REINDEX_RESTS.set(self.rests)
        if not self._is_idle():
            await self._sleep(min(step_s * self._rest, _LONGEST_REST_S))
            if self._clock() - self._began_at >= _WORK_S:
                await self._pause()
        self._stepped_at = self._clock()

    def begin(self) -> None:
        """Say that work begins."""
        self._stepped_at = self._began_at = self._clock()
        self._paused_at = None

    def end(self) -> None:
        """Say that work has ended."""
        self._paused_at = self._clock()

    async def _pause(self) -> None:
        self._paused_at = self._clock()
        await self._sleep(_PAUSE_S)
        self._paused_at = None
        self._began_at = self._clock()
        self._adapt()

    def _adapt(self) -> None:
        if min(len(self._alone), len(self._beside)) < _FEWEST:
            return
        rise = float(np.percentile(self._beside, 95) / np.percentile(self._alone, 95)) - 1
        if rise > 0.7 * self._slowdown:
            self._rest = min(2 * self._rest, _LONGEST_REST)
        elif rise < 0.4 * self._slowdown:
            self._rest = max(0.7 * self._rest, 0.1)
        else:
            return
        self._beside.clear()  # it was measured at another pace

    def _is_idle(self) -> bool:
        return self._clock() - self._asked_at >= _IDLE_S
