"""Jobs, what is told of them, and requests that may be repeated."""

from sqlalchemy import BigInteger, CheckConstraint, Column, Double, ForeignKeyConstraint, Index, Integer, String, Table, Text

from advanced_rag.storage.tables.base import CODE, DOCUMENT_ID, ID, USER_ID, UtcDateTime, created, json, metadata, tenant

jobs = Table(
    "jobs",
    metadata,
    Column("id", ID, primary_key=True),
    tenant(),
    Column("kind", String(16), nullable=False),
    Column("document_id", DOCUMENT_ID, nullable=False),
    Column("from_version", Integer, nullable=False),
    Column("below_version", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("owner", String(64)),
    Column("lease_until", Double),
    Column("run_after", Double, nullable=False),
    Column(
        "priority", Integer, nullable=False, server_default="0"
    ),  # lower goes first: what makes the index agree with SQL, then documents
    Column("attempts", Integer, nullable=False),
    Column("retakes", Integer, nullable=False, server_default="0"),
    Column("user_id", USER_ID),
    Column("stage", String(16)),
    Column("done", Integer, nullable=False, server_default="0"),
    Column("total", Integer, nullable=False, server_default="0"),
    Column("error_code", CODE),
    Column("error_message", Text),
    Column("details", json),
    created(),
    Column("updated_at", UtcDateTime, nullable=False),
    CheckConstraint("kind IN ('ingest', 'purge', 'label')", name="kind"),
    CheckConstraint("state IN ('queued', 'running', 'ready', 'failed', 'cancelled', 'dead')", name="state"),
    Index("ix_jobs_due", "state", "priority", "run_after"),
    Index("ix_jobs_document", "tenant_id", "document_id", "kind"),
    Index("ix_jobs_time", "tenant_id", "created_at", "id"),
    Index("ix_jobs_ended", "state", "updated_at"),
)

job_events = Table(
    "job_events",
    metadata,
    tenant(primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("job_id", ID, nullable=False),
    Column("document_id", DOCUMENT_ID, nullable=False),
    Column("user_id", USER_ID),
    Column("state", String(16), nullable=False),
    Column("stage", String(16), nullable=False),
    Column("progress", Double, nullable=False),
    Column("data", json, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    ForeignKeyConstraint(["job_id"], ["jobs.id"], ondelete="CASCADE"),
    Index("ix_job_events_job", "job_id", "number"),
)

event_counters = Table(
    "event_counters",
    metadata,
    tenant(primary_key=True),
    Column("last", BigInteger, nullable=False),
    ForeignKeyConstraint(["tenant_id"], ["tenants.id"]),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    tenant(primary_key=True),
    Column("digest", String(64), primary_key=True),  # of the caller and his key
    Column("body_digest", String(64), nullable=False),
    Column("answer", json, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    ForeignKeyConstraint(["tenant_id"], ["tenants.id"]),
    Index("ix_idempotency_keys_time", "expires_at"),
)
