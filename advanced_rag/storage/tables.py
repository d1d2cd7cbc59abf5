"""The tables, as SQLAlchemy Core knows them; alembic/ brings a database there.

Every row carries its tenant. Times are UTC; leases count on the database's clock, in seconds since 1970.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Double,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    true,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Dialect

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class UtcDateTime(TypeDecorator[datetime]):
    """A point in time, always UTC: SQLite forgets the zone, this puts it back."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give the zone back."""
        del dialect
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


def now() -> datetime:
    """Return the time now, in UTC."""
    return datetime.now(UTC)


_json = JSON().with_variant(JSONB(), "postgresql")
_TENANT, _ID, _DOCUMENT_ID, _CODE, _USER_ID = String(64), String(36), String(255), String(64), String(255)


def _tenant(**options: Any) -> Column[str]:
    return Column("tenant_id", _TENANT, nullable=False, **options)


def _created() -> Column[datetime]:
    return Column("created_at", UtcDateTime, nullable=False)


tenants = Table(
    "tenants",
    metadata,
    Column("id", _TENANT, primary_key=True),
    Column("name", String(255), nullable=False),
    Column("is_active", Boolean, nullable=False, server_default=true()),
    Column("quotas", _json),
    _created(),
    Index("ix_tenants_name", "name", unique=True),
)

usage_days = Table(
    "usage_days",
    metadata,
    _tenant(primary_key=True),
    Column("day", Date, primary_key=True),
    Column("requests", BigInteger, nullable=False),
    Column("tokens", BigInteger, nullable=False),
    ForeignKeyConstraint(["tenant_id"], ["tenants.id"]),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", _ID, primary_key=True),
    _tenant(),
    Column("name", String(255), nullable=False),
    Column("prefix", String(16), nullable=False, unique=True),
    Column("digest", String(64), nullable=False),
    Column("role", String(32), nullable=False),
    Column("scopes", _json, nullable=False),
    Column("user_id", _USER_ID, nullable=False),
    Column("groups", _json, nullable=False),
    _created(),
    Column("expires_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
    Column("last_used_at", UtcDateTime),
    ForeignKeyConstraint(["tenant_id"], ["tenants.id"]),
    Index("ix_api_keys_time", "tenant_id", "created_at", "id"),
)

users = Table(
    "users",
    metadata,
    Column("id", _ID, primary_key=True),
    _tenant(),
    Column("email", String(320), nullable=False),  # lower case
    Column("name", String(255), nullable=False),
    Column("password", String(255), nullable=False),  # its argon2 hash
    Column("role", String(32), nullable=False),
    Column("groups", _json, nullable=False),
    Column("is_active", Boolean, nullable=False),
    Column("epoch", Integer, nullable=False),  # tokens of an earlier one are refused
    _created(),
    ForeignKeyConstraint(["tenant_id"], ["tenants.id"]),
    Index("ix_users_email", "email", unique=True),
    Index("ix_users_time", "tenant_id", "created_at", "id"),
)

invitations = Table(
    "invitations",
    metadata,
    Column("digest", String(64), primary_key=True),
    _tenant(),
    Column("role", String(32), nullable=False),
    Column("groups", _json, nullable=False),
    _created(),
    Column("expires_at", UtcDateTime, nullable=False),
    ForeignKeyConstraint(["tenant_id"], ["tenants.id"]),
)

refresh_tokens = Table(
    "refresh_tokens",
    metadata,
    Column("digest", String(64), primary_key=True),
    _tenant(),
    Column("user_id", _ID, nullable=False),
    Column("family", _ID, nullable=False),
    Column("is_used", Boolean, nullable=False),
    _created(),
    Column("expires_at", UtcDateTime, nullable=False),
    ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE"),
    Index("ix_refresh_tokens_user", "user_id", "family"),
)

tickets = Table(
    "tickets",
    metadata,
    Column("digest", String(64), primary_key=True),
    _tenant(),
    Column("user_id", _USER_ID, nullable=False),
    Column("scopes", _json, nullable=False),
    Column("groups", _json, nullable=False),
    Column("credential", _ID),
    Column("expires_at", UtcDateTime, nullable=False),
    Index("ix_tickets_time", "tenant_id", "expires_at"),
)

legal_holds = Table(
    "legal_holds",
    metadata,
    Column("id", _ID, primary_key=True),
    _tenant(),
    Column("kind", String(16), nullable=False),
    Column("target", _DOCUMENT_ID, nullable=False),
    Column("reason", Text, nullable=False),
    Column("created_by", _USER_ID, nullable=False),
    _created(),
    Column("released_at", UtcDateTime),
    ForeignKeyConstraint(["tenant_id"], ["tenants.id"]),
    Index("ix_legal_holds_target", "tenant_id", "kind", "target"),
)

receipts = Table(
    "receipts",
    metadata,
    Column("id", _ID, primary_key=True),
    _tenant(),
    Column("kind", String(16), nullable=False),
    Column("target", String(64), nullable=False),
    Column("forgotten_by", _USER_ID, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("removed", _json, nullable=False),
    Column("left", _json, nullable=False),
    Column("digest", String(64), nullable=False),
    ForeignKeyConstraint(["tenant_id"], ["tenants.id"]),
    Index("ix_receipts_time", "tenant_id", "at"),
)

login_failures = Table(
    "login_failures",
    metadata,
    Column("digest", String(64), primary_key=True),  # of the e-mail address, whether somebody has it or not
    Column("count", Integer, nullable=False),
    Column("locked_until", UtcDateTime, nullable=False),
)

audit_entries = Table(
    "audit_entries",
    metadata,
    _tenant(primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("actor", _USER_ID, nullable=False),
    Column("credential", _ID),
    Column("action", _CODE, nullable=False),
    Column("targets", _json, nullable=False),
    Column("origin", _CODE),
    Column("outcome", _CODE, nullable=False),
    Column("request_id", _CODE),
    Column("previous", String(64), nullable=False),
    Column("digest", String(64), nullable=False),
    ForeignKeyConstraint(["tenant_id"], ["tenants.id"]),
    Index("ix_audit_entries_actor", "tenant_id", "actor", "number"),
)

documents = Table(
    "documents",
    metadata,
    _tenant(primary_key=True),
    Column("id", _DOCUMENT_ID, primary_key=True),
    Column("current_version", Integer),
    Column("last_version", Integer, nullable=False),
    Column("version_floor", Integer, nullable=False),
    Column("owner", _USER_ID),
    Column("visibility", String(16), nullable=False, server_default="tenant"),
    Column("rights_version", Integer, nullable=False, server_default="0"),
    _created(),
    Column("updated_at", UtcDateTime, nullable=False),
    ForeignKeyConstraint(["tenant_id"], ["tenants.id"]),
    Index(None, "tenant_id", "created_at", "id"),
)

document_access = Table(
    "document_access",
    metadata,
    _tenant(primary_key=True),
    Column("document_id", _DOCUMENT_ID, primary_key=True),
    Column("subject", String(260), primary_key=True),
    ForeignKeyConstraint(["tenant_id", "document_id"], ["documents.tenant_id", "documents.id"], ondelete="CASCADE"),
    Index("ix_document_access_subject", "tenant_id", "subject"),
)

document_versions = Table(
    "document_versions",
    metadata,
    _tenant(primary_key=True),
    Column("document_id", _DOCUMENT_ID, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("state", String(16), nullable=False),
    Column("content_hash", String(64), nullable=False),
    Column("title", Text, nullable=False),
    Column("metadata", _json, nullable=False),
    Column("domain", String(32)),
    Column("chunk_count", Integer, nullable=False),
    Column("bytes", Integer, nullable=False, server_default="0"),
    Column("rights", _json),  # what the document's rights become with this version
    _created(),
    Column("text", Text, nullable=False),  # last: SQLite reads a row from its start, and hydration stops before it
    ForeignKeyConstraint(["tenant_id", "document_id"], ["documents.tenant_id", "documents.id"], ondelete="CASCADE"),
    CheckConstraint("state IN ('indexing', 'current', 'superseded', 'failed')", name="state"),
)

chunks = Table(
    "chunks",
    metadata,
    _tenant(primary_key=True),
    Column("chunk_id", _TENANT, primary_key=True),
    Column("document_id", _DOCUMENT_ID, nullable=False),
    Column("version", Integer, nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("text", Text, nullable=False),
    Column("headings", _json, nullable=False),
    Column("page", Integer),
    Column("start", Integer, nullable=False),
    Column("end", Integer, nullable=False),
    Column("tokens", Integer, nullable=False),
    ForeignKeyConstraint(
        ["tenant_id", "document_id", "version"],
        ["document_versions.tenant_id", "document_versions.document_id", "document_versions.version"],
        ondelete="CASCADE",
    ),
    Index("ix_chunks_document_version", "tenant_id", "document_id", "version", "ordinal", unique=True),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", _ID, primary_key=True),
    _tenant(),
    Column("kind", String(16), nullable=False),
    Column("document_id", _DOCUMENT_ID, nullable=False),
    Column("from_version", Integer, nullable=False),
    Column("below_version", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("owner", String(64)),
    Column("lease_until", Double),
    Column("run_after", Double, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("error_code", _CODE),
    _created(),
    CheckConstraint("kind IN ('index', 'purge', 'label')", name="kind"),
    CheckConstraint("state IN ('queued', 'running', 'dead')", name="state"),
    Index(None, "state", "run_after"),
    Index(None, "tenant_id", "document_id", "kind"),
)

index_generations = Table(
    "index_generations",
    metadata,
    Column("kind", String(64), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("state", String(16), nullable=False),
    Column("encoder", String(64), nullable=False),
    Column("dimension", Integer),
    _created(),
    CheckConstraint("state IN ('building', 'live', 'retired')", name="state"),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", _ID, primary_key=True),
    _tenant(),
    Column("user_id", _USER_ID, nullable=False),
    Column("title", String(255), nullable=False),
    _created(),
    Column("updated_at", UtcDateTime, nullable=False),
    ForeignKeyConstraint(["tenant_id"], ["tenants.id"]),
    Index("ix_sessions_user_time", "tenant_id", "user_id", "created_at", "id"),
)

messages = Table(
    "messages",
    metadata,
    Column("id", _ID, primary_key=True),
    _tenant(),
    Column("session_id", _ID, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("role", String(16), nullable=False),
    Column("content", Text, nullable=False),
    Column("citations", _json, nullable=False),
    Column("answered", Boolean),
    Column("provider", String(64)),
    Column("lineage", _json),
    _created(),
    ForeignKeyConstraint(["session_id"], ["sessions.id"], ondelete="CASCADE"),
    CheckConstraint("role IN ('user', 'assistant')", name="role"),
    Index("ix_messages_session_time", "tenant_id", "session_id", "position", unique=True),
)

feedback = Table(
    "feedback",
    metadata,
    Column("id", _ID, primary_key=True),
    _tenant(),
    Column("message_id", _ID, nullable=False),
    Column("rating", Integer, nullable=False),
    Column("comment", Text),
    _created(),
    ForeignKeyConstraint(["message_id"], ["messages.id"], ondelete="CASCADE"),
    CheckConstraint("rating BETWEEN 1 AND 5", name="rating"),
    Index("ix_feedback_message", "tenant_id", "message_id"),
)
