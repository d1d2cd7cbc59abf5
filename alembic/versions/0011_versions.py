"""the life of a document: when versions were superseded, when documents expire, what is left of deleted ones

Revision: 0011
Follows: 0010
"""

import sqlalchemy as sa

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

OF_DOCUMENTS = ("history_from", "expires_at", "deleted_at", "deleted_by", "deleted_version")


def upgrade() -> None:
    op.add_column("documents", sa.Column("history_from", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("documents", sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("documents", sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("documents", sa.Column("deleted_by", sa.String(length=255), nullable=True))
    op.add_column("documents", sa.Column("deleted_version", sa.Integer(), nullable=True))
    op.add_column("document_versions", sa.Column("superseded_at", sa.DateTime(timezone=True), nullable=True))
    op.execute("UPDATE document_versions SET superseded_at = CURRENT_TIMESTAMP WHERE state = 'superseded'")
    op.create_index("ix_documents_expiry", "documents", ["expires_at"])
    op.create_index("ix_documents_deleted", "documents", ["tenant_id", "deleted_at", "id"])
    op.create_index("ix_document_versions_state", "document_versions", ["state", "tenant_id", "document_id", "version"])
    op.create_index("ix_document_versions_superseded", "document_versions", ["superseded_at"])


def downgrade() -> None:
    op.drop_index("ix_document_versions_superseded", table_name="document_versions")
    op.drop_index("ix_document_versions_state", table_name="document_versions")
    op.drop_index("ix_documents_deleted", table_name="documents")
    op.drop_index("ix_documents_expiry", table_name="documents")
    op.drop_column("document_versions", "superseded_at")
    for column in reversed(OF_DOCUMENTS):
        op.drop_column("documents", column)
