"""Documents, their versions and chunks, and where those are indexed."""

from sqlalchemy import CheckConstraint, Column, ForeignKeyConstraint, Index, Integer, LargeBinary, String, Table, Text

from advanced_rag.storage.tables.base import DOCUMENT_ID, TENANT, USER_ID, UtcDateTime, created, json, metadata, tenant

documents = Table(
    "documents",
    metadata,
    tenant(primary_key=True),
    Column("id", DOCUMENT_ID, primary_key=True),
    Column("current_version", Integer),
    Column("last_version", Integer, nullable=False),
    Column("version_floor", Integer, nullable=False),
    Column("owner", USER_ID),
    Column("visibility", String(16), nullable=False, server_default="tenant"),
    Column("rights_version", Integer, nullable=False, server_default="0"),
    Column("history_from", Integer, nullable=False, server_default="0"),  # versions before are the owner's: rights widened
    created(),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),
    Column("deleted_at", UtcDateTime),
    Column("deleted_by", USER_ID),
    Column("deleted_version", Integer),  # the one that was current
    ForeignKeyConstraint(["tenant_id"], ["tenants.id"]),
    Index(None, "tenant_id", "created_at", "id"),
    Index("ix_documents_expiry", "expires_at"),
    Index("ix_documents_deleted", "tenant_id", "deleted_at", "id"),
)

document_access = Table(
    "document_access",
    metadata,
    tenant(primary_key=True),
    Column("document_id", DOCUMENT_ID, primary_key=True),
    Column("subject", String(260), primary_key=True),
    ForeignKeyConstraint(["tenant_id", "document_id"], ["documents.tenant_id", "documents.id"], ondelete="CASCADE"),
    Index("ix_document_access_subject", "tenant_id", "subject"),
)

document_versions = Table(
    "document_versions",
    metadata,
    tenant(primary_key=True),
    Column("document_id", DOCUMENT_ID, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("state", String(16), nullable=False),
    Column("content_hash", String(64), nullable=False),
    Column("title", Text, nullable=False),
    Column("metadata", json, nullable=False),
    Column("domain", String(32)),
    Column("chunk_count", Integer, nullable=False),
    Column("bytes", Integer, nullable=False, server_default="0"),
    Column("rights", json),  # what the document's rights become with this version
    Column("source", json),  # the file it was made of
    created(),
    Column("superseded_at", UtcDateTime),
    Column("text", Text, nullable=False),  # last: SQLite reads a row from its start, and hydration stops before it
    ForeignKeyConstraint(["tenant_id", "document_id"], ["documents.tenant_id", "documents.id"], ondelete="CASCADE"),
    CheckConstraint("state IN ('indexing', 'current', 'superseded', 'failed')", name="state"),
    Index("ix_document_versions_state", "state", "tenant_id", "document_id", "version"),
    Index("ix_document_versions_superseded", "superseded_at"),
)

chunks = Table(
    "chunks",
    metadata,
    tenant(primary_key=True),
    Column("chunk_id", TENANT, primary_key=True),
    Column("document_id", DOCUMENT_ID, nullable=False),
    Column("version", Integer, nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("text", Text, nullable=False),
    Column("headings", json, nullable=False),
    Column("page", Integer),
    Column("start", Integer, nullable=False),
    Column("end", Integer, nullable=False),
    Column("tokens", Integer, nullable=False),
    ForeignKeyConstraint(
        ["tenant_id", "document_id", "version"],
        ["document_versions.tenant_id", "document_versions.document_id", "document_versions.version"],
        ondelete="CASCADE",
    ),
    Index("ix_chunks_document_version", "tenant_id", "document_id", "version", "ordinal", unique=True),
)

page_vectors = Table(
    "page_vectors",
    metadata,
    tenant(primary_key=True),
    Column("chunk_id", TENANT, primary_key=True),
    Column("encoder", String(64), nullable=False),
    Column("vectors", LargeBinary, nullable=False),
    ForeignKeyConstraint(["tenant_id", "chunk_id"], ["chunks.tenant_id", "chunks.chunk_id"], ondelete="CASCADE"),
)
