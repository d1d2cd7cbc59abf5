"""Who did what, what must stay, what was forgotten."""

from sqlalchemy import BigInteger, Column, ForeignKeyConstraint, Index, String, Table, Text

from advanced_rag.storage.tables.base import CODE, DOCUMENT_ID, ID, USER_ID, UtcDateTime, created, json, metadata, tenant

legal_holds = Table(
    "legal_holds",
    metadata,
    Column("id", ID, primary_key=True),
    tenant(),
    Column("kind", String(16), nullable=False),
    Column("target", DOCUMENT_ID, nullable=False),
    Column("reason", Text, nullable=False),
    Column("created_by", USER_ID, nullable=False),
    created(),
    Column("released_at", UtcDateTime),
    ForeignKeyConstraint(["tenant_id"], ["tenants.id"]),
    Index("ix_legal_holds_target", "tenant_id", "kind", "target"),
)

receipts = Table(
    "receipts",
    metadata,
    Column("id", ID, primary_key=True),
    tenant(),
    Column("kind", String(16), nullable=False),
    Column("target", String(64), nullable=False),
    Column("forgotten_by", USER_ID, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("removed", json, nullable=False),
    Column("left", json, nullable=False),
    Column("digest", String(64), nullable=False),
    ForeignKeyConstraint(["tenant_id"], ["tenants.id"]),
    Index("ix_receipts_time", "tenant_id", "at"),
)

audit_entries = Table(
    "audit_entries",
    metadata,
    tenant(primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("actor", USER_ID, nullable=False),
    Column("credential", ID),
    Column("action", CODE, nullable=False),
    Column("targets", json, nullable=False),
    Column("origin", CODE),
    Column("outcome", CODE, nullable=False),
    Column("request_id", CODE),
    Column("previous", String(64), nullable=False),
    Column("digest", String(64), nullable=False),
    ForeignKeyConstraint(["tenant_id"], ["tenants.id"]),
    Index("ix_audit_entries_actor", "tenant_id", "actor", "number"),
)
