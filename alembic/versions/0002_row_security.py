"""row-level security, so that PostgreSQL itself keeps tenants apart

Revision: 0002
Follows: 0001
"""

from advanced_rag.storage.row_security import policy
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLES = ("documents", "document_versions", "chunks", "jobs", "sessions", "messages", "feedback")


def upgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    for statement in (*policy("tenants", "id"), *(line for table in TABLES for line in policy(table))):
        op.execute(statement)


def downgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    for table in ("tenants", *TABLES):
        op.execute(f"DROP POLICY tenant ON {table}")
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
