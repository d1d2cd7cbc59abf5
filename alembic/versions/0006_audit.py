"""the audit log, and what each answer was made of

Revision: 0006
Follows: 0005
"""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from advanced_rag.storage.row_security import policy
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    op.create_table(
        "audit_entries",
        sa.Column("tenant_id", sa.String(length=64), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(length=255), nullable=False),
        sa.Column("credential", sa.String(length=36), nullable=True),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("targets", JSON, nullable=False),
        sa.Column("origin", sa.String(length=64), nullable=True),
        sa.Column("outcome", sa.String(length=64), nullable=False),
        sa.Column("request_id", sa.String(length=64), nullable=True),
        sa.Column("previous", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_audit_entries_tenants")),
        sa.PrimaryKeyConstraint("tenant_id", "number", name=op.f("pk_audit_entries")),
    )
    op.create_index("ix_audit_entries_actor", "audit_entries", ["tenant_id", "actor", "number"])
    op.add_column("messages", sa.Column("lineage", JSON, nullable=True))
    if op.get_bind().dialect.name == "postgresql":
        for statement in policy("audit_entries"):
            op.execute(statement)


def downgrade() -> None:
    op.drop_column("messages", "lineage")
    op.drop_table("audit_entries")
