"""Quotas, and what tenants use."""

from typing import Annotated

from pydantic import Field

from advanced_rag.api.schemas.base import Answer, Schema
from advanced_rag.models.quota import Usage

Limit = Annotated[int | None, Field(ge=0, le=2**53)]


class QuotasBody(Schema):
    """The most a tenant may hold, and use in a day (UTC); null sets no limit."""

    documents: Limit = None
    chunks: Limit = None
    bytes: Limit = None
    requests_per_day: Limit = None
    tokens_per_day: Limit = None


class QuotasOut(Answer):
    """What a tenant may hold and use."""

    documents: int | None
    chunks: int | None
    bytes: int | None
    requests_per_day: int | None
    tokens_per_day: int | None


class UsageOut(Answer):
    """What the caller's tenant holds, has used today, and may."""

    documents: int
    chunks: int
    bytes: int
    requests_today: int
    tokens_today: int
    quotas: QuotasOut

    @classmethod
    def of(cls, usage: Usage) -> "UsageOut":
        """Make it from what the service says."""
        return cls(
            documents=usage.holdings.documents,
            chunks=usage.holdings.chunks,
            bytes=usage.holdings.bytes,
            requests_today=usage.today.requests,
            tokens_today=usage.today.tokens,
            quotas=QuotasOut.model_validate(usage.quotas),
        )
