"""Row-level security: a second wall around each tenant, in PostgreSQL itself.

The application names its tenant in every transaction (storage/database.py), and the policies show and take no other row,
not even to the owner of the tables. They do not bind a superuser: the service warns when it is one.
"""

from sqlalchemy import text

from advanced_rag.storage.database import Transaction

_SEEN = "({column} = current_setting('rag.tenant', true) OR current_setting('rag.tenant', true) = '*')"


def policy(table: str, column: str = "tenant_id") -> list[str]:
    """Return the statements that put a table behind the wall, for migrations."""
    return [
        f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
        f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY",
        f"CREATE POLICY tenant ON {table} USING {_SEEN.format(column=column)}",
    ]


def is_bypassed(transaction: Transaction) -> bool:
    """Tell whether the role that is connected sees every row whatever the policies say; False where there are none."""
    connection = transaction.connection
    if connection.dialect.name != "postgresql":
        return False
    statement = text("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user")
    return bool(connection.execute(statement).scalar_one())
