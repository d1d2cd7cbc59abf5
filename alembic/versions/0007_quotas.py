"""quotas of tenants, and what they use

Revision: 0007
Follows: 0006
"""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from advanced_rag.storage.row_security import policy
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    op.add_column("tenants", sa.Column("quotas", JSON, nullable=True))
    op.add_column("document_versions", sa.Column("bytes", sa.Integer(), server_default="0", nullable=False))
    op.create_table(
        "usage_days",
        sa.Column("tenant_id", sa.String(length=64), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_usage_days_tenants")),
        sa.PrimaryKeyConstraint("tenant_id", "day", name=op.f("pk_usage_days")),
    )
    if op.get_bind().dialect.name == "postgresql":
        for statement in policy("usage_days"):
            op.execute(statement)


def downgrade() -> None:
    op.drop_table("usage_days")
    op.drop_column("document_versions", "bytes")
    op.drop_column("tenants", "quotas")
