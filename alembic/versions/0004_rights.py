"""who may see a document: owner, visibility, access list; jobs that bring the index up to it

Revision: 0004
Follows: 0003
"""

import sqlalchemy as sa

from advanced_rag.storage.row_security import policy
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("documents", sa.Column("owner", sa.String(length=255), nullable=True))
    op.add_column("documents", sa.Column("visibility", sa.String(length=16), server_default="tenant", nullable=False))
    op.add_column("documents", sa.Column("rights_version", sa.Integer(), server_default="0", nullable=False))
    op.create_table(
        "document_access",
        sa.Column("tenant_id", sa.String(length=64), nullable=False),
        sa.Column("document_id", sa.String(length=255), nullable=False),
        sa.Column("subject", sa.String(length=260), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "document_id"],
            ["documents.tenant_id", "documents.id"],
            name=op.f("fk_document_access_documents"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "document_id", "subject", name=op.f("pk_document_access")),
    )
    op.create_index("ix_document_access_subject", "document_access", ["tenant_id", "subject"])
    _set_kinds("'index', 'purge', 'label'")
    if op.get_bind().dialect.name == "postgresql":
        for statement in policy("document_access"):
            op.execute(statement)


def downgrade() -> None:
    op.execute("DELETE FROM jobs WHERE kind = 'label'")
    _set_kinds("'index', 'purge'")
    op.drop_table("document_access")
    for column in ("owner", "visibility", "rights_version"):
        op.drop_column("documents", column)


def _set_kinds(kinds: str) -> None:
    with op.batch_alter_table("jobs") as jobs:
        jobs.drop_constraint(op.f("ck_jobs_kind"), type_="check")
        jobs.create_check_constraint(op.f("ck_jobs_kind"), f"kind IN ({kinds})")
