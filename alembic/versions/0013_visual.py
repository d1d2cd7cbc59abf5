"""the vectors of pages that were looked at

Revision: 0013
Follows: 0011
"""

import sqlalchemy as sa

from advanced_rag.storage.row_security import policy
from alembic import op

revision = "0013"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "page_vectors",
        sa.Column("tenant_id", sa.String(length=64), nullable=False),
        sa.Column("chunk_id", sa.String(length=64), nullable=False),
        sa.Column("encoder", sa.String(length=64), nullable=False),
        sa.Column("vectors", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "chunk_id"],
            ["chunks.tenant_id", "chunks.chunk_id"],
            name=op.f("fk_page_vectors_chunks"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "chunk_id", name=op.f("pk_page_vectors")),
    )
    if op.get_bind().dialect.name == "postgresql":
        for statement in policy("page_vectors"):
            op.execute(statement)


def downgrade() -> None:
    op.drop_table("page_vectors")
