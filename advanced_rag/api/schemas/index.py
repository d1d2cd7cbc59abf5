"""What the index holds."""

from advanced_rag.api.schemas.base import Answer, Schema


class VerifyRequest(Schema):
    """Whether to mend what differs, and whether every tenant is looked at: that is for operators."""

    repair: bool = False
    all_tenants: bool = False


class CollectionOut(Answer):
    """How one collection compares with SQL, in chunks."""

    collection: str
    expected: int
    found: int
    missing: int
    orphaned: int
    repaired: int


class VerifyResponse(Answer):
    """Whether SQL and Milvus agree."""

    agrees: bool
    collections: list[CollectionOut]
    request_id: str | None


class StatusResponse(Answer):
    """What the service holds and is made of."""

    version: str
    documents: int
    chunks: int
    collections: dict[str, str]
    encoder: str
    runtime: str
    jobs: dict[str, int]
