"""generations that are built beside the live one, by runs that go on where they stopped

Revision: 0014
Follows: 0013
"""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
LIVE, BUILDING, RUNNING = sa.text("state = 'live'"), sa.text("state = 'building'"), sa.text("state = 'running'")


def upgrade() -> None:
    with op.batch_alter_table("index_generations") as generations:
        generations.drop_constraint(op.f("ck_index_generations_state"), type_="check")
        generations.add_column(sa.Column("model", sa.Text(), nullable=True))
        generations.add_column(sa.Column("changed_at", sa.DateTime(timezone=True), nullable=True))
    op.execute("UPDATE index_generations SET changed_at = created_at")
    with op.batch_alter_table("index_generations") as generations:
        generations.alter_column("changed_at", nullable=False)
        generations.create_check_constraint(
            op.f("ck_index_generations_state"), "state IN ('building', 'live', 'retired', 'dropping')"
        )
    op.create_index(
        "ix_index_generations_live", "index_generations", ["kind"], unique=True, sqlite_where=LIVE, postgresql_where=LIVE
    )
    op.create_index(
        "ix_index_generations_building",
        "index_generations",
        ["kind"],
        unique=True,
        sqlite_where=BUILDING,
        postgresql_where=BUILDING,
    )
    op.create_table(
        "reindex_runs",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("phase", sa.String(length=16), nullable=False),
        sa.Column("options", JSON, nullable=False),
        sa.Column("progress", JSON, nullable=False),
        sa.Column("result", JSON, nullable=False),
        sa.Column("owner", sa.String(length=64), nullable=True),
        sa.Column("lease_until", sa.Double(), nullable=True),
        sa.Column("error_code", sa.String(length=64), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("state IN ('running', 'done', 'failed', 'cancelled')", name=op.f("ck_reindex_runs_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reindex_runs")),
    )
    op.create_index(
        "ix_reindex_runs_running", "reindex_runs", ["state"], unique=True, sqlite_where=RUNNING, postgresql_where=RUNNING
    )
    op.create_index("ix_reindex_runs_time", "reindex_runs", ["created_at", "id"])


def downgrade() -> None:
    op.drop_table("reindex_runs")
    op.drop_index("ix_index_generations_building", table_name="index_generations")
    op.drop_index("ix_index_generations_live", table_name="index_generations")
    op.execute("DELETE FROM index_generations WHERE state <> 'live'")
    with op.batch_alter_table("index_generations") as generations:
        generations.drop_constraint(op.f("ck_index_generations_state"), type_="check")
        generations.drop_column("changed_at")
        generations.drop_column("model")
        generations.create_check_constraint(op.f("ck_index_generations_state"), "state IN ('building', 'live', 'retired')")
