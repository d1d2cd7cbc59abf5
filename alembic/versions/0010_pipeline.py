"""jobs that stay when they have ended, with stages and events; idempotency keys; the file a version was made of

Revision: 0010
Follows: 0009
"""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from advanced_rag.storage.row_security import policy
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
NEW_TABLES = ("job_events", "event_counters", "idempotency_keys")


def upgrade() -> None:
    _widen_jobs()
    op.create_table(
        "job_events",
        sa.Column("tenant_id", sa.String(length=64), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("job_id", sa.String(length=36), nullable=False),
        sa.Column("document_id", sa.String(length=255), nullable=False),
        sa.Column("user_id", sa.String(length=255), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("stage", sa.String(length=16), nullable=False),
        sa.Column("progress", sa.Double(), nullable=False),
        sa.Column("data", JSON, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_job_events_jobs"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("tenant_id", "number", name=op.f("pk_job_events")),
    )
    op.create_index("ix_job_events_job", "job_events", ["job_id", "number"])
    op.create_table(
        "event_counters",
        sa.Column("tenant_id", sa.String(length=64), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_event_counters_tenants")),
        sa.PrimaryKeyConstraint("tenant_id", name=op.f("pk_event_counters")),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("tenant_id", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("body_digest", sa.String(length=64), nullable=False),
        sa.Column("answer", JSON, nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_idempotency_keys_tenants")),
        sa.PrimaryKeyConstraint("tenant_id", "digest", name=op.f("pk_idempotency_keys")),
    )
    op.create_index("ix_idempotency_keys_time", "idempotency_keys", ["expires_at"])
    op.add_column("document_versions", sa.Column("source", JSON, nullable=True))
    if op.get_bind().dialect.name == "postgresql":
        for table in NEW_TABLES:
            for statement in policy(table):
                op.execute(statement)


def _widen_jobs() -> None:
    op.drop_index(op.f("ix_jobs_state_run_after"), table_name="jobs")
    op.drop_index(op.f("ix_jobs_tenant_id_document_id_kind"), table_name="jobs")
    with op.batch_alter_table("jobs") as jobs:
        jobs.drop_constraint(op.f("ck_jobs_kind"), type_="check")
        jobs.drop_constraint(op.f("ck_jobs_state"), type_="check")
        jobs.add_column(sa.Column("priority", sa.Integer(), nullable=False, server_default="0"))
        jobs.add_column(sa.Column("retakes", sa.Integer(), nullable=False, server_default="0"))
        jobs.add_column(sa.Column("user_id", sa.String(length=255), nullable=True))
        jobs.add_column(sa.Column("stage", sa.String(length=16), nullable=True))
        jobs.add_column(sa.Column("done", sa.Integer(), nullable=False, server_default="0"))
        jobs.add_column(sa.Column("total", sa.Integer(), nullable=False, server_default="0"))
        jobs.add_column(sa.Column("error_message", sa.Text(), nullable=True))
        jobs.add_column(sa.Column("details", JSON, nullable=True))
        jobs.add_column(sa.Column("updated_at", sa.DateTime(timezone=True), nullable=True))
    op.execute("UPDATE jobs SET updated_at = created_at")
    op.execute("UPDATE jobs SET kind = 'ingest', stage = 'chunked' WHERE kind = 'index'")
    with op.batch_alter_table("jobs") as jobs:
        jobs.alter_column("updated_at", nullable=False)
        jobs.create_check_constraint(op.f("ck_jobs_kind"), "kind IN ('ingest', 'purge', 'label')")
        jobs.create_check_constraint(
            op.f("ck_jobs_state"), "state IN ('queued', 'running', 'ready', 'failed', 'cancelled', 'dead')"
        )
    op.create_index("ix_jobs_due", "jobs", ["state", "priority", "run_after"])
    op.create_index("ix_jobs_document", "jobs", ["tenant_id", "document_id", "kind"])
    op.create_index("ix_jobs_time", "jobs", ["tenant_id", "created_at", "id"])
    op.create_index("ix_jobs_ended", "jobs", ["state", "updated_at"])


def downgrade() -> None:
    op.drop_column("document_versions", "source")
    for table in reversed(NEW_TABLES):
        op.drop_table(table)
    op.execute("DELETE FROM jobs WHERE state IN ('ready', 'failed', 'cancelled') OR stage = 'received'")
    for index in ("ix_jobs_due", "ix_jobs_document", "ix_jobs_time", "ix_jobs_ended"):
        op.drop_index(index, table_name="jobs")
    with op.batch_alter_table("jobs") as jobs:
        jobs.drop_constraint(op.f("ck_jobs_kind"), type_="check")
        jobs.drop_constraint(op.f("ck_jobs_state"), type_="check")
    op.execute("UPDATE jobs SET kind = 'index' WHERE kind = 'ingest'")
    with op.batch_alter_table("jobs") as jobs:
        for column in (
            "priority",
            "retakes",
            "user_id",
            "stage",
            "done",
            "total",
            "error_message",
            "details",
            "updated_at",
        ):
            jobs.drop_column(column)
        jobs.create_check_constraint(op.f("ck_jobs_kind"), "kind IN ('index', 'purge', 'label')")
        jobs.create_check_constraint(op.f("ck_jobs_state"), "state IN ('queued', 'running', 'dead')")
    op.create_index(op.f("ix_jobs_state_run_after"), "jobs", ["state", "run_after"])
    op.create_index(op.f("ix_jobs_tenant_id_document_id_kind"), "jobs", ["tenant_id", "document_id", "kind"])
