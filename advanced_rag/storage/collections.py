"""What a collection of Milvus looks like: its fields, its index, and a chunk as a row of it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymilvus import CollectionSchema, DataType, Function, FunctionType, MilvusClient
from pymilvus.milvus_client.index import IndexParams

from advanced_rag.config import MilvusSettings
from advanced_rag.models.documents import TenantId
from advanced_rag.models.index import SPARSE, Generation
from advanced_rag.storage.filters import FACETS_FIELD, LABEL_CHARS, MAX_LABELS, READERS_FIELD, Facets

Vectors = NDArray[np.float32]

MAX_TEXT_BYTES = 65_535


@dataclass(frozen=True, slots=True)
class IndexRow:
    """One chunk as Milvus holds it; ``document_key`` is a digest, because Milvus is never shown a caller's id."""

    chunk_id: str
    tenant: TenantId
    document_key: str
    version: int
    facets: Facets
    text: str
    readers: tuple[str, ...]
    vector: Vectors | None = None


def as_stored(generation: Generation, row: IndexRow) -> dict[str, Any]:
    """Return a chunk as a row of a generation's collection."""
    content: dict[str, Any] = (
        {"text": _clip(row.text)} if generation.kind == SPARSE else {"vector": np.asarray(row.vector, np.float32)}
    )
    return {
        "chunk_id": row.chunk_id,
        "tenant_id": row.tenant,
        "document_key": row.document_key,
        "version": row.version,
        FACETS_FIELD: row.facets,
        READERS_FIELD: list(row.readers),
        **content,
    }


def collection_schema(generation: Generation, *, is_partitioned: bool) -> CollectionSchema:
    """Return the fields of a generation's collection; partitioned by tenant where the server can."""
    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("chunk_id", DataType.VARCHAR, is_primary=True, max_length=64)
    schema.add_field("tenant_id", DataType.VARCHAR, max_length=64, is_partition_key=is_partitioned)
    schema.add_field("document_key", DataType.VARCHAR, max_length=64)
    schema.add_field("version", DataType.INT64)
    schema.add_field(FACETS_FIELD, DataType.JSON)
    schema.add_field(
        READERS_FIELD,
        DataType.ARRAY,
        element_type=DataType.VARCHAR,
        max_length=LABEL_CHARS,
        max_capacity=MAX_LABELS,
    )
    if generation.kind == SPARSE:
        _add_text(schema, generation.encoder)
    else:
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=generation.dimension)
    return schema


def index_params(generation: Generation, settings: MilvusSettings) -> IndexParams:
    """Return how a generation's collection is searched: BM25 for sparse, cosine for vectors."""
    index = MilvusClient.prepare_index_params()
    if generation.kind == SPARSE:
        index.add_index(
            "sparse",
            index_type="SPARSE_INVERTED_INDEX",
            metric_type="BM25",
            params={"bm25_k1": settings.bm25_k1, "bm25_b": settings.bm25_b},
        )
    else:
        index.add_index("vector", index_type="AUTOINDEX", metric_type="COSINE")
    return index


def _add_text(schema: CollectionSchema, analyzer: str) -> None:
    params = {"type": analyzer}
    schema.add_field("text", DataType.VARCHAR, max_length=MAX_TEXT_BYTES, enable_analyzer=True, analyzer_params=params)
    schema.add_field("sparse", DataType.SPARSE_FLOAT_VECTOR)
    schema.add_function(
        Function(
            name="bm25",
            function_type=FunctionType.BM25,
            input_field_names=["text"],
            output_field_names=["sparse"],
        )
    )


def _clip(text: str) -> str:
    encoded = text.encode()
    return text if len(encoded) <= MAX_TEXT_BYTES else encoded[:MAX_TEXT_BYTES].decode(errors="ignore")
