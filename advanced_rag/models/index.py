"""The generations of the index and whether it agrees with SQL."""

from dataclasses import dataclass, field

SEMANTIC = "semantic"
SPARSE = "sparse"
VISUAL = "visual"
DOMAIN_PREFIX = "domain_"


def domain_kind(domain: str) -> str:
    """Return the kind of collection that holds a domain's vectors."""
    return DOMAIN_PREFIX + domain


@dataclass(frozen=True, slots=True)
class Generation:
    """One collection of the index: its kind, its number, and what filled it."""

    kind: str
    number: int
    encoder: str
    dimension: int | None

    @property
    def collection(self) -> str:
        """The name of the Milvus collection."""
        return f"{self.kind}_g{self.number}"

    @property
    def domain(self) -> str | None:
        """The domain it is for; None for all documents."""
        return self.kind.removeprefix(DOMAIN_PREFIX) if self.kind.startswith(DOMAIN_PREFIX) else None


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
