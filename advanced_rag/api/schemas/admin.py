"""Tenants and API keys."""

from datetime import datetime
from typing import Annotated

from pydantic import Field, StringConstraints

from advanced_rag.api.schemas.base import Answer, Name, Schema
from advanced_rag.models.identity import ApiKey, Scope


class KeyIn(Schema):
    """What a key is to be: a role, scopes beyond it, and whom it stands for (else for itself)."""

    name: Name
    role: Annotated[str, StringConstraints(min_length=1, max_length=32)]
    scopes: list[Scope] = Field(default_factory=list, max_length=64)
    user_id: Name | None = None
    groups: list[Name] = Field(default_factory=list, max_length=100)
    expires_in_days: int | None = Field(None, ge=1, le=3650)


class KeyOut(Answer):
    """A key as it is listed: without its secret."""

    id: str
    name: str
    prefix: str
    role: str
    scopes: list[str]
    user_id: str
    groups: list[str]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


class NewKeyOut(KeyOut):
    """A key just made, with its secret: it is shown this once."""

    key: str

    @classmethod
    def of(cls, made: ApiKey, secret: str) -> "NewKeyOut":
        """Make it from what the service says."""
        return cls(**KeyOut.model_validate(made).model_dump(), key=secret)


class KeyPage(Answer):
    """A page of keys."""

    keys: list[KeyOut]
    next_cursor: str | None


class RotateRequest(Schema):
    """For how long the old key goes on, in seconds."""

    overlap_s: int = Field(86_400, ge=0, le=2_592_000)


class TenantRequest(Schema):
    """The name of a new tenant."""

    name: Name


class TenantUpdate(Schema):
    """Whether a tenant's identities are known."""

    is_active: bool


class TenantOut(Answer):
    """A team."""

    id: str
    name: str
    is_active: bool
    created_at: datetime


class TenantPage(Answer):
    """Every tenant."""

    tenants: list[TenantOut]
