"""Conversations."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    String,
    Table,
    Text,
)

from advanced_rag.storage.tables.base import ID, USER_ID, UtcDateTime, created, json, metadata, tenant

sessions = Table(
    "sessions",
    metadata,
    Column("id", ID, primary_key=True),
    tenant(),
    Column("user_id", USER_ID, nullable=False),
    Column("title", String(255), nullable=False),
    created(),
    Column("updated_at", UtcDateTime, nullable=False),
    ForeignKeyConstraint(["tenant_id"], ["tenants.id"]),
    Index("ix_sessions_user_time", "tenant_id", "user_id", "created_at", "id"),
)

messages = Table(
    "messages",
    metadata,
    Column("id", ID, primary_key=True),
    tenant(),
    Column("session_id", ID, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("role", String(16), nullable=False),
    Column("content", Text, nullable=False),
    Column("citations", json, nullable=False),
    Column("answered", Boolean),
    Column("provider", String(64)),
    Column("lineage", json),
    created(),
    ForeignKeyConstraint(["session_id"], ["sessions.id"], ondelete="CASCADE"),
    CheckConstraint("role IN ('user', 'assistant')", name="role"),
    Index("ix_messages_session_time", "tenant_id", "session_id", "position", unique=True),
)

feedback = Table(
    "feedback",
    metadata,
    Column("id", ID, primary_key=True),
    tenant(),
    Column("message_id", ID, nullable=False),
    Column("rating", Integer, nullable=False),
    Column("comment", Text),
    created(),
    ForeignKeyConstraint(["message_id"], ["messages.id"], ondelete="CASCADE"),
    CheckConstraint("rating BETWEEN 1 AND 5", name="rating"),
    Index("ix_feedback_message", "tenant_id", "message_id"),
)
