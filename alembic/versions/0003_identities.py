"""tenants that can be switched off, and API keys

Revision: 0003
Follows: 0002
"""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from advanced_rag.storage.row_security import policy
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("tenant_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("prefix", sa.String(length=16), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("role", sa.String(length=32), nullable=False),
        sa.Column("scopes", JSON, nullable=False),
        sa.Column("user_id", sa.String(length=255), nullable=False),
        sa.Column("groups", JSON, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_api_keys_tenants")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("prefix", name=op.f("uq_api_keys_prefix")),
    )
    op.create_index("ix_api_keys_time", "api_keys", ["tenant_id", "created_at", "id"])
    op.add_column("tenants", sa.Column("is_active", sa.Boolean(), server_default=sa.true(), nullable=False))
    op.create_index("ix_tenants_name", "tenants", ["name"], unique=True)
    if op.get_bind().dialect.name == "postgresql":
        for statement in policy("api_keys"):
            op.execute(statement)


def downgrade() -> None:
    op.drop_index("ix_tenants_name", table_name="tenants")
    op.drop_column("tenants", "is_active")
    op.drop_table("api_keys")
