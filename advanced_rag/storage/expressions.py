"""Expressions as Milvus is sent them: every one names its tenant, and no id that is not ours gets in."""

import re
from collections.abc import Sequence

from advanced_rag.exceptions import VectorStoreRefusedError
from advanced_rag.models.documents import TenantId
from advanced_rag.models.filters import Filter
from advanced_rag.models.identity import Reader
from advanced_rag.storage.filters import compile_filter, compile_readers, quote

_HEX = re.compile(r"[0-9a-f]{1,64}\Z")
_TENANT = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")


def expression(reader: Reader, condition: Filter | None) -> str:
    """Return what a search is filtered by: its tenant first, then what the reader may find, then his own filter."""
    clauses = [tenant_clause(reader.tenant)]
    if reader.subjects is not None:
        clauses.append(compile_readers(reader.subjects))
    if condition is not None:
        clauses.append(compile_filter(condition))
    return " and ".join(clauses)


def tenant_clause(tenant: TenantId) -> str:
    """Return the clause no call goes without; raises VectorStoreRefusedError for what is no tenant id."""
    if not _TENANT.match(tenant):
        raise VectorStoreRefusedError("not a tenant id")
    return f"tenant_id == {quote(tenant)}"


def ids_clause(chunk_ids: Sequence[str]) -> str:
    """Return the clause for some chunks."""
    return f"chunk_id in [{', '.join(hex_literal(chunk_id) for chunk_id in chunk_ids)}]"


def hex_literal(value: str) -> str:
    """Return an id as a literal; raises VectorStoreRefusedError for what is none of ours."""
    if not _HEX.match(value):
        raise VectorStoreRefusedError("not an id of this service")
    return quote(value)
