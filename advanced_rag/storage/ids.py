"""Ids that are made from what they stand for, so that writing twice writes the same."""

import hashlib

from advanced_rag.models.documents import TenantId


def chunk_id(tenant: TenantId, document_id: str, version: int, ordinal: int) -> str:
    """Return the id of a chunk: hex, the same whenever the same chunk is made."""
    return _digest(tenant, document_id, str(version), str(ordinal))


def document_key(tenant: TenantId, document_id: str) -> str:
    """Return what Milvus knows a document by: hex, whatever characters its id has."""
    return _digest(tenant, document_id)


def content_hash(*parts: str) -> str:
    """Return the hash that tells whether a document changed."""
    return _digest(*parts, size=32)


def _digest(*parts: str, size: int = 16) -> str:
    digest = hashlib.blake2b(digest_size=size)
    for part in parts:
        encoded = part.encode()
        digest.update(len(encoded).to_bytes(8, "big") + encoded)  # length first: ("ab", "c") is not ("a", "bc")
    return digest.hexdigest()
