"""The time a request has, handed from stage to stage."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from advanced_rag.exceptions import DeadlineExceededError

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

    def remaining(self) -> float:
        """Return the seconds left; raises DeadlineExceededError when there are none."""
        left = self.at - self.clock()
        if left <= 0:
            raise DeadlineExceededError("the request used up its time")
        return left
