"""Alembic's way into the database: the connection it is handed, or the one the settings name."""

from sqlalchemy import Connection

from advanced_rag.environment import load_settings
from advanced_rag.storage.database import open_engine
from advanced_rag.storage.tables import UtcDateTime, metadata
from alembic import context


def render_type(kind: str, item: object, _context: object) -> str | bool:
    return "sa.DateTime(timezone=True)" if kind == "type" and isinstance(item, UtcDateTime) else False


def run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        compare_type=True,
        render_item=render_type,
        render_as_batch=connection.dialect.name == "sqlite",
    )
    with context.begin_transaction():
        context.run_migrations()


handed_over = context.config.attributes.get("connection")
if handed_over is not None:
    run(handed_over)
else:
    settings = load_settings()
    with open_engine(settings.database_url, settings.database).begin() as opened:
        run(opened)
