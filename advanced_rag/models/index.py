"""The generations of the index and whether it agrees with SQL."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

SEMANTIC = "semantic"
SPARSE = "sparse"
VISUAL = "visual"
DOMAIN_PREFIX = "domain_"

# building: being filled, and written to; live: searched; retired: kept and written to, so that one may go back to it;
# dropping: nobody uses it any more
GenerationState = Literal["building", "live", "retired", "dropping"]


def domain_kind(domain: str) -> str:
    """Return the kind of collection that holds a domain's vectors."""
    return DOMAIN_PREFIX + domain


def domain_of(kind: str) -> str | None:
    """Return the domain a kind of collection is for; None is everything."""
    return kind.removeprefix(DOMAIN_PREFIX) if kind.startswith(DOMAIN_PREFIX) else None


@dataclass(frozen=True, slots=True)
class Generation:
    """One collection of the index: its kind, its number, and what filled it.

    ``encoder`` is the fingerprint of an encoder, and ``model`` what the settings called it; or the analyzer of BM25.
    """

    kind: str
    number: int
    encoder: str
    dimension: int | None
    model: str | None = field(default=None, compare=False)

    @property
    def collection(self) -> str:
        """The name of the Milvus collection."""
        return f"{self.kind}_g{self.number}"

    @property
    def domain(self) -> str | None:
        """The domain it is for; None for all documents."""
        return domain_of(self.kind)


@dataclass(frozen=True, slots=True)
class StoredGeneration:
    """A generation, what it is there for, and since when."""

    generation: Generation
    state: GenerationState
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class CollectionReport:
    """How one collection compares with what SQL says it should hold."""

    collection: str
    expected: int
    found: int
    missing: int
    orphaned: int
    repaired: int = 0


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """Whether SQL and Milvus agree."""

    collections: list[CollectionReport] = field(default_factory=list)

    @property
    def agrees(self) -> bool:
        """True when nothing is missing and nothing is orphaned, or all of it was repaired."""
        return all(c.missing + c.orphaned == c.repaired for c in self.collections)
