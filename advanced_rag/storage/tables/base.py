"""What the tables have in common."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    Column,
    DateTime,
    MetaData,
    String,
    TypeDecorator,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Dialect

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class UtcDateTime(TypeDecorator[datetime]):
    """A point in time, always UTC: SQLite forgets the zone, this puts it back."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give the zone back."""
        del dialect
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


def now() -> datetime:
    """Return the time now, in UTC."""
    return datetime.now(UTC)


json = JSON().with_variant(JSONB(), "postgresql")
TENANT, ID, DOCUMENT_ID, CODE, USER_ID = String(64), String(36), String(255), String(64), String(255)


def tenant(**options: Any) -> Column[str]:
    """Return the column that says whose a row is."""
    return Column("tenant_id", TENANT, nullable=False, **options)


def created() -> Column[datetime]:
    """Return the column that says since when a row is there."""
    return Column("created_at", UtcDateTime, nullable=False)
