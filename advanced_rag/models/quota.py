"""What a tenant may hold and use, and what it does."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Quotas:
    """The most a tenant may hold, and use in a day (UTC); None sets no limit."""

    documents: int | None = None
    chunks: int | None = None
    bytes: int | None = None
    requests_per_day: int | None = None
    tokens_per_day: int | None = None

    @property
    def limit_storage(self) -> bool:
        """Whether anything that is kept is limited."""
        return any(limit is not None for limit in (self.documents, self.chunks, self.bytes))


@dataclass(frozen=True, slots=True)
class Holdings:
    """What a tenant holds: documents, chunks, and bytes of text in UTF-8."""

    documents: int
    chunks: int
    bytes: int

    def __add__(self, other: "Holdings") -> "Holdings":
        return Holdings(self.documents + other.documents, self.chunks + other.chunks, self.bytes + other.bytes)

    def __sub__(self, other: "Holdings") -> "Holdings":
        return Holdings(self.documents - other.documents, self.chunks - other.chunks, self.bytes - other.bytes)

    def exceeds(self, quotas: Quotas) -> str | None:
        """Return the name of the first quota this is beyond."""
        for name in ("documents", "chunks", "bytes"):
            limit = getattr(quotas, name)
            if limit is not None and getattr(self, name) > limit:
                return name
        return None


NOTHING = Holdings(0, 0, 0)


@dataclass(frozen=True, slots=True)
class Consumption:
    """What a tenant used in one day."""

    requests: int
    tokens: int

    def __add__(self, other: "Consumption") -> "Consumption":
        return Consumption(self.requests + other.requests, self.tokens + other.tokens)


@dataclass(frozen=True, slots=True)
class Usage:
    """What a tenant holds, has used today, and may."""

    holdings: Holdings
    today: Consumption
    quotas: Quotas
