"""The time a request has, handed from stage to stage."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from advanced_rag.exceptions import DeadlineExceededError, DependencyTimeoutError

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Deadline:
    """A point on the monotonic clock after which nobody waits for the answer."""

    at: float
    clock: Clock = field(default=time.monotonic, repr=False)

    @classmethod
    def after(cls, seconds: float, clock: Clock = time.monotonic) -> "Deadline":
        """Return the deadline that lies ``seconds`` ahead."""
        return cls(clock() + seconds, clock)

    @property
    def has_passed(self) -> bool:
        """Whether nothing is left."""
        return self.clock() >= self.at

    def remaining(self) -> float:
        """Return the seconds left; raises DeadlineExceededError when there are none."""
        left = self.at - self.clock()
        if left <= 0:
            raise DeadlineExceededError("the request used up its time")
        return left

    @asynccontextmanager
    async def limit(self, what: str, at_most_s: float = math.inf) -> AsyncIterator[None]:
        """Bound a block by what is left and by ``at_most_s``.

        Raises DeadlineExceededError when nothing is left, DependencyTimeoutError when ``what`` took longer than it may.
        """
        left = self.remaining()
        try:
            async with asyncio.timeout(min(left, at_most_s)):
                yield
        except TimeoutError:
            if left <= at_most_s:
                raise DeadlineExceededError("the request used up its time") from None
            raise DependencyTimeoutError(f"{what} did not answer in time") from None
