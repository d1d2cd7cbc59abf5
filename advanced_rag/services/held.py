"""The jobs this process works on right now: the leases of these are kept, and of no others."""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from advanced_rag.models.jobs import Job


class Held:
    """Counts the jobs in work. What a failure left behind is not among them, so that its lease runs out."""

    def __init__(self) -> None:
        self._ids: Counter[str] = Counter()

    @contextmanager
    def holding(self, jobs: Iterable[Job]) -> Iterator[None]:
        """Count some jobs while they are worked on."""
        ids = [job.id for job in jobs]
        self._ids.update(ids)
        try:
            yield
        finally:
            self._ids.subtract(ids)
            self._ids += Counter()  # without those that stand at zero

    def ids(self) -> list[str]:
        """Return the ids of the jobs in work."""
        return list(self._ids)
