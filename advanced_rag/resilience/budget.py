"""A bound on retries as a share of calls, so that an outage is not multiplied by those who try again."""


class RetryBudget:
    """Each call earns a tenth of a retry, up to a reserve; each retry spends one whole. For one event loop."""

    def __init__(self, *, per_call: float = 0.1, reserve: float = 10.0) -> None:
        self._per_call = per_call
        self._reserve = reserve
        self._left = reserve

    def earn(self) -> None:
        """Note a call."""
        self._left = min(self._left + self._per_call, self._reserve)

    def spend(self) -> bool:
        """Take one retry; False when there is none left."""
        if self._left < 1:
            return False
        self._left -= 1
        return True
