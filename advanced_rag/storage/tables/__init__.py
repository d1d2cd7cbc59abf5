"""The tables, as SQLAlchemy Core knows them; alembic/ brings a database there.

Every row carries its tenant. Times are UTC; leases count on the database's clock, in seconds since 1970.
"""

from advanced_rag.storage.tables.accountability import audit_entries, legal_holds, receipts
from advanced_rag.storage.tables.base import UtcDateTime, metadata, now
from advanced_rag.storage.tables.chat import feedback, messages, sessions
from advanced_rag.storage.tables.documents import (
    chunks,
    document_access,
    document_versions,
    documents,
    page_vectors,
)
from advanced_rag.storage.tables.identities import (
    api_keys,
    invitations,
    login_failures,
    refresh_tokens,
    tenants,
    tickets,
    usage_days,
    users,
)
from advanced_rag.storage.tables.index import index_generations, reindex_runs
from advanced_rag.storage.tables.jobs import event_counters, idempotency_keys, job_events, jobs

__all__ = [
    "UtcDateTime",
    "api_keys",
    "audit_entries",
    "chunks",
    "document_access",
    "document_versions",
    "documents",
    "event_counters",
    "feedback",
    "idempotency_keys",
    "index_generations",
    "invitations",
    "job_events",
    "jobs",
    "legal_holds",
    "login_failures",
    "messages",
    "metadata",
    "now",
    "page_vectors",
    "receipts",
    "refresh_tokens",
    "reindex_runs",
    "sessions",
    "tenants",
    "tickets",
    "usage_days",
    "users",
]
