"""The one way to call what may fail: deadline, bulkhead, circuit breaker, timeout, retry, from the outside in."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_random_exponential

from advanced_rag.exceptions import UnavailableError
from advanced_rag.resilience.breaker import BreakerState, CircuitBreaker
from advanced_rag.resilience.budget import RetryBudget
from advanced_rag.resilience.bulkhead import Bulkhead
from advanced_rag.resilience.deadline import Deadline

T = TypeVar("T")

_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.05, 0.4


class Guard:
    """Guards the calls to one dependency; ``timeout_s`` bounds all attempts of a call together."""

    def __init__(
        self, name: str, *, bulkhead: Bulkhead, breaker: CircuitBreaker, timeout_s: float, attempts: int = 1
    ) -> None:
        self.name = name
        self._bulkhead = bulkhead
        self._breaker = breaker
        self._timeout_s = timeout_s
        self._attempts = attempts
        self._budget = RetryBudget()
        self._retrying = AsyncRetrying(
            stop=self._is_enough,
            wait=wait_random_exponential(_FIRST_WAIT_S, _LONGEST_WAIT_S),
            retry=retry_if_exception(_may_repeat),
            reraise=True,
        )
        self._retrying_undone = self._retrying.copy(retry=retry_if_exception(_is_undone))

    @property
    def state(self) -> BreakerState:
        """The state of the circuit breaker."""
        return self._breaker.state

    async def call(self, operation: Callable[[], Awaitable[T]], deadline: Deadline, *, repeatable: bool = True) -> T:
        """Run an operation; one that is not ``repeatable`` is tried again only if nothing of it was done.

        Raises what it raised last, or BulkheadFullError, CircuitOpenError, DeadlineExceededError.
        """

        async def attempt() -> T:
            return await operation()

        retrying = self._retrying if repeatable else self._retrying_undone
        self._budget.earn()
        async with self._bulkhead.permit(deadline.remaining()):
            with self._breaker.watch():
                async with deadline.limit(self.name, self._timeout_s):
                    return await retrying.copy()(attempt)

    def _is_enough(self, state: RetryCallState) -> bool:
        return state.attempt_number >= self._attempts or not self._budget.spend()


def _may_repeat(error: BaseException) -> bool:
    return isinstance(error, UnavailableError) and error.retryable


def _is_undone(error: BaseException) -> bool:
    return isinstance(error, UnavailableError) and error.is_undone
