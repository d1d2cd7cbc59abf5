"""The generations of the index, and the runs that make them."""

from sqlalchemy import CheckConstraint, Column, Double, Index, Integer, String, Table, Text, text

from advanced_rag.storage.tables.base import CODE, ID, UtcDateTime, created, json, metadata

index_generations = Table(
    "index_generations",
    metadata,
    Column("kind", String(64), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("state", String(16), nullable=False),
    Column("encoder", String(64), nullable=False),
    Column("dimension", Integer),
    Column("model", Text),  # what the settings called the encoder; null where that was not written down
    created(),
    Column("changed_at", UtcDateTime, nullable=False),
    CheckConstraint("state IN ('building', 'live', 'retired', 'dropping')", name="state"),
    Index(
        "ix_index_generations_live",
        "kind",
        unique=True,
        sqlite_where=text("state = 'live'"),
        postgresql_where=text("state = 'live'"),
    ),
    Index(
        "ix_index_generations_building",
        "kind",
        unique=True,
        sqlite_where=text("state = 'building'"),
        postgresql_where=text("state = 'building'"),
    ),
)

reindex_runs = Table(
    "reindex_runs",
    metadata,
    Column("id", ID, primary_key=True),
    Column("state", String(16), nullable=False),
    Column("phase", String(16), nullable=False),
    Column("options", json, nullable=False),
    Column("progress", json, nullable=False),
    Column("result", json, nullable=False),
    Column("owner", String(64)),
    Column("lease_until", Double),
    Column("error_code", CODE),
    Column("error_message", Text),
    created(),
    Column("updated_at", UtcDateTime, nullable=False),
    CheckConstraint("state IN ('running', 'done', 'failed', 'cancelled')", name="state"),
    Index(
        "ix_reindex_runs_running",
        "state",
        unique=True,
        sqlite_where=text("state = 'running'"),
        postgresql_where=text("state = 'running'"),
    ),
    Index("ix_reindex_runs_time", "created_at", "id"),
)
