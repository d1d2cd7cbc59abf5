"""Tenants, and who is who in them."""

from sqlalchemy import BigInteger, Boolean, Column, Date, ForeignKeyConstraint, Index, Integer, String, Table, true

from advanced_rag.storage.tables.base import ID, TENANT, USER_ID, UtcDateTime, created, json, metadata, tenant

tenants = Table(
    "tenants",
    metadata,
    Column("id", TENANT, primary_key=True),
    Column("name", String(255), nullable=False),
    Column("is_active", Boolean, nullable=False, server_default=true()),
    Column("quotas", json),
    created(),
    Index("ix_tenants_name", "name", unique=True),
)

usage_days = Table(
    "usage_days",
    metadata,
    tenant(primary_key=True),
    Column("day", Date, primary_key=True),
    Column("requests", BigInteger, nullable=False),
    Column("tokens", BigInteger, nullable=False),
    ForeignKeyConstraint(["tenant_id"], ["tenants.id"]),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", ID, primary_key=True),
    tenant(),
    Column("name", String(255), nullable=False),
    Column("prefix", String(16), nullable=False, unique=True),
    Column("digest", String(64), nullable=False),
    Column("role", String(32), nullable=False),
    Column("scopes", json, nullable=False),
    Column("user_id", USER_ID, nullable=False),
    Column("groups", json, nullable=False),
    created(),
    Column("expires_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
    Column("last_used_at", UtcDateTime),
    ForeignKeyConstraint(["tenant_id"], ["tenants.id"]),
    Index("ix_api_keys_time", "tenant_id", "created_at", "id"),
)

users = Table(
    "users",
    metadata,
    Column("id", ID, primary_key=True),
    tenant(),
    Column("email", String(320), nullable=False),  # lower case
    Column("name", String(255), nullable=False),
    Column("password", String(255), nullable=False),  # its argon2 hash
    Column("role", String(32), nullable=False),
    Column("groups", json, nullable=False),
    Column("is_active", Boolean, nullable=False),
    Column("epoch", Integer, nullable=False),  # tokens of an earlier one are refused
    created(),
    ForeignKeyConstraint(["tenant_id"], ["tenants.id"]),
    Index("ix_users_email", "email", unique=True),
    Index("ix_users_time", "tenant_id", "created_at", "id"),
)

invitations = Table(
    "invitations",
    metadata,
    Column("digest", String(64), primary_key=True),
    tenant(),
    Column("role", String(32), nullable=False),
    Column("groups", json, nullable=False),
    created(),
    Column("expires_at", UtcDateTime, nullable=False),
    ForeignKeyConstraint(["tenant_id"], ["tenants.id"]),
)

refresh_tokens = Table(
    "refresh_tokens",
    metadata,
    Column("digest", String(64), primary_key=True),
    tenant(),
    Column("user_id", ID, nullable=False),
    Column("family", ID, nullable=False),
    Column("is_used", Boolean, nullable=False),
    created(),
    Column("expires_at", UtcDateTime, nullable=False),
    ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE"),
    Index("ix_refresh_tokens_user", "user_id", "family"),
)

tickets = Table(
    "tickets",
    metadata,
    Column("digest", String(64), primary_key=True),
    tenant(),
    Column("user_id", USER_ID, nullable=False),
    Column("scopes", json, nullable=False),
    Column("groups", json, nullable=False),
    Column("credential", ID),
    Column("expires_at", UtcDateTime, nullable=False),
    Index("ix_tickets_time", "tenant_id", "expires_at"),
)

login_failures = Table(
    "login_failures",
    metadata,
    Column("digest", String(64), primary_key=True),  # of the e-mail address, whether somebody has it or not
    Column("count", Integer, nullable=False),
    Column("locked_until", UtcDateTime, nullable=False),
)
