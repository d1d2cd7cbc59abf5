"""Milvus: the index, and where its engines differ."""

import logging
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc
import numpy as np
from pymilvus import MilvusClient
from pymilvus.exceptions import MilvusException

from advanced_rag.config import MilvusSettings
from advanced_rag.exceptions import StartupError, VectorStoreError, VectorStoreRefusedError
from advanced_rag.models.documents import TenantId
from advanced_rag.models.filters import Filter
from advanced_rag.models.identity import Reader
from advanced_rag.models.index import SPARSE, Generation
from advanced_rag.models.retrieval import Candidate
from advanced_rag.storage.collections import IndexRow, Vectors, as_stored, collection_schema, index_params
from advanced_rag.storage.expressions import expression, hex_literal, ids_clause, tenant_clause
from advanced_rag.storage.filters import READERS_FIELD, join, quote
from advanced_rag.telemetry import metrics

T = TypeVar("T")
Version = tuple[int, int]
StoredPlace = tuple[str, int]  # a document's key and a version of it

MOST_AT_ONCE = 16_384  # rows of one answer: Milvus gives no more
_PAGE = 1000
_RANGES = 200  # in one expression
_CREATE_TRIES, _CREATE_WAIT_S = 10, 0.2
_CONSISTENCY = "Session"  # a document can be found as soon as its ingestion was answered
_CHANNEL = {
    "grpc.use_local_subchannel_pool": 1,
    "grpc.enable_http_proxy": 0,
    "grpc.initial_reconnect_backoff_ms": 200,
    "grpc.max_reconnect_backoff_ms": 1000,  # gRPC itself would wait up to two minutes for a server that is back
}
# Milvus Lite hangs up on a client that asks whether it is alive every ten seconds, as pymilvus does.
_NO_KEEPALIVE = {"grpc.keepalive_time_ms": 2**31 - 1, "grpc.keepalive_permit_without_calls": 0}
_RECENT = (2, 5)  # older servers have no BM25; those before 2.4 also send upserts to the wrong partition of a partition key
_COLLECTION_MISSING = 100
_UNSETTLED = (
    "Invalid sparse row"  # Milvus Lite counts words and texts one after the other: for a moment the counts do not fit
)
_REFUSED = {_COLLECTION_MISSING, 1, 5, 65, 700, 1100, 1101, 1102, 1104, 1804, 2000, 65535}

logging.getLogger("pymilvus").setLevel(logging.CRITICAL)  # it logs a traceback for each failed call; we log our own line


@dataclass(frozen=True, slots=True)
class VersionRange:
    """The versions [start, below) of one document."""

    document_key: str
    start: int
    below: int


class VectorStore:
    """Every call has a timeout, every search and purge the tenant's clause; calls block, callers use threads."""

    def __init__(self, client: MilvusClient, settings: MilvusSettings, version: Version | None) -> None:
        self._client = client
        self._settings = settings
        self._version = version
        self._filled: set[str] = set()

    @classmethod
    def open(cls, uri: str, settings: MilvusSettings, *, is_embedded: bool) -> "VectorStore":
        """Connect to a server, or start Milvus Lite on a file: that from the main thread.

        Raises StartupError when the file is in use, VectorStoreError when the server does not answer.
        """
        token = settings.token.get_secret_value() if settings.token else ""
        channel = {**_CHANNEL, **(_NO_KEEPALIVE if is_embedded else {})}
        try:
            with _interrupts_ignored():
                client = MilvusClient(uri, token=token, timeout=settings.write_timeout_s, grpc_options=channel)
            version = None if is_embedded else _version(client, settings.timeout_s)
        except (MilvusException, grpc.RpcError, OSError) as error:
            if is_embedded:
                message = f"milvus.uri: {uri} is used by another process, or is not a Milvus Lite file"
                raise StartupError(message) from error
            raise VectorStoreError(f"milvus.uri: {uri} does not answer") from error
        return cls(client, settings, version)

    def close(self) -> None:
        """Close the connection; Milvus Lite ends with the process."""
        self._client.close()

    def ping(self, generation: Generation) -> None:
        """Prove that a collection can be searched: a server may list what it cannot search yet. Raises VectorStoreError."""
        name, timeout = self._name(generation), self._settings.timeout_s
        nobody = f"chunk_id == {quote('0')}"
        self._call(
            generation.kind, "ping", lambda: self._client.query(name, nobody, output_fields=["chunk_id"], timeout=timeout)
        )

    def ensure(self, generation: Generation) -> bool:
        """Create the collection of a generation where it is missing, or made by a version before; returns whether it was."""
        name = self._name(generation)
        if self.exists(generation):
            if self._is_as_it_should(name, generation):
                self.load(generation)
                return False
            self.drop(generation)
        self._create_patiently(name, generation)
        return True

    def load(self, generation: Generation) -> bool:
        """Make the collection of a generation ready for calls; False when there is none."""
        name, timeout = self._name(generation), self._settings.write_timeout_s
        if not self.exists(generation):
            return False
        self._call(generation.kind, "load", lambda: self._client.load_collection(name, timeout=timeout))
        return True

    def _create_patiently(self, name: str, generation: Generation) -> None:
        # Milvus Lite takes calls a moment before it can load a collection, and leaves what it refused half-made.
        for tries_left in reversed(range(_CREATE_TRIES)):
            try:
                self._call(generation.kind, "create", lambda: self._create(name, generation))
            except VectorStoreRefusedError:
                if not tries_left or self._version is not None:
                    raise
                self.drop(generation)
                time.sleep(_CREATE_WAIT_S)
            else:
                return

    def _is_as_it_should(self, name: str, generation: Generation) -> bool:
        timeout = self._settings.timeout_s
        found = self._call(generation.kind, "describe", lambda: self._client.describe_collection(name, timeout=timeout))
        return any(field["name"] == READERS_FIELD for field in found["fields"])

    def exists(self, generation: Generation) -> bool:
        """Tell whether the collection of a generation is there."""
        name, timeout = self._name(generation), self._settings.write_timeout_s
        return bool(self._call(generation.kind, "has", lambda: self._client.has_collection(name, timeout=timeout)))

    def upsert(self, generation: Generation, rows: Sequence[IndexRow]) -> None:
        """Write rows; writing them again changes nothing."""
        data = [as_stored(generation, row) for row in rows]
        name, timeout = self._name(generation), self._settings.write_timeout_s
        for start in range(0, len(data), _PAGE):
            page = data[start : start + _PAGE]
            self._call(generation.kind, "upsert", lambda page=page: self._client.upsert(name, page, timeout=timeout))  # type: ignore[misc]

    def search(
        self,
        generation: Generation,
        reader: Reader,
        queries: Sequence[Vectors] | Sequence[str],
        *,
        limit: int,
        condition: Filter | None = None,
        timeout_s: float | None = None,
    ) -> list[list[Candidate]]:
        """Search with unit vectors, or with texts in the sparse collection; candidates of each query, best first."""
        is_sparse = generation.kind == SPARSE
        if is_sparse and self._is_new(generation):
            return [[] for _ in queries]
        found = self._call(
            generation.kind,
            "search",
            lambda: self._client.search(
                self._name(generation),
                list(queries),
                anns_field="sparse" if is_sparse else "vector",
                filter=expression(reader, condition),
                limit=limit,
                search_params={"metric_type": "BM25" if is_sparse else "COSINE"},
                timeout=timeout_s or self._settings.timeout_s,
            ),
        )
        return [_candidates(hits) for hits in found]

    def vectors(self, generation: Generation, tenant: TenantId, chunk_ids: Sequence[str]) -> dict[str, Vectors]:
        """Return the vectors of some chunks, those that are there."""
        if self._is_new(generation):
            return {}
        rows = self._query(generation, f"{tenant_clause(tenant)} and {ids_clause(chunk_ids)}", ["vector"], len(chunk_ids))
        return {row["chunk_id"]: np.asarray(row["vector"], dtype=np.float32) for row in rows}

    def purge(self, generation: Generation, tenant: TenantId, ranges: Sequence[VersionRange]) -> None:
        """Delete whole ranges of versions."""
        clauses = [_range_clause(item) for item in ranges]
        for start in range(0, len(clauses), _RANGES):
            self._delete(generation, f"{tenant_clause(tenant)} and {join('or', clauses[start : start + _RANGES])}")

    def delete(self, generation: Generation, tenant: TenantId, chunk_ids: Sequence[str]) -> None:
        """Delete chunks by id."""
        for start in range(0, len(chunk_ids), _PAGE):
            self._delete(generation, f"{tenant_clause(tenant)} and {ids_clause(chunk_ids[start : start + _PAGE])}")

    def count(self, generation: Generation, tenant: TenantId, document_key: str) -> int:
        """Return how many chunks of a document there are, with all that was written and deleted until now."""
        expression = f"{tenant_clause(tenant)} and document_key == {hex_literal(document_key)}"
        return len(self._query(generation, expression, ["version"], _PAGE, consistency_level="Strong"))

    def size(self, generation: Generation, tenant: TenantId) -> int:
        """Return how many chunks of a tenant there are."""
        name, timeout = self._name(generation), self._settings.timeout_s
        (answer,) = self._call(
            generation.kind,
            "count",
            lambda: self._client.query(name, tenant_clause(tenant), output_fields=["count(*)"], timeout=timeout),
        )
        return int(answer["count(*)"])

    def between(self, generation: Generation, tenant: TenantId, start: str, below: str) -> dict[str, StoredPlace]:
        """Return where chunks with ids in [start, below) belong, MOST_AT_ONCE of them at most."""
        clause = f"chunk_id >= {hex_literal(start)} and chunk_id < {hex_literal(below)}"
        return self._places(generation, tenant, clause)

    def places(self, generation: Generation, tenant: TenantId, chunk_ids: Sequence[str]) -> dict[str, StoredPlace]:
        """Return where those of some chunks belong that are there, with all that other processes wrote until now."""
        found: dict[str, StoredPlace] = {}
        for start in range(0, len(chunk_ids), _PAGE):
            clause = ids_clause(chunk_ids[start : start + _PAGE])
            found |= self._places(generation, tenant, clause, consistency_level="Strong")
        return found

    def _places(self, generation: Generation, tenant: TenantId, clause: str, **options: str) -> dict[str, StoredPlace]:
        fields = ["document_key", "version"]
        rows = self._query(generation, f"{tenant_clause(tenant)} and {clause}", fields, MOST_AT_ONCE, **options)
        return {row["chunk_id"]: (row["document_key"], row["version"]) for row in rows}

    def drop(self, generation: Generation) -> None:
        """Delete a collection."""
        name, timeout = self._name(generation), self._settings.write_timeout_s
        self._call(generation.kind, "drop", lambda: self._client.drop_collection(name, timeout=timeout))
        self._filled.discard(name)

    def _is_new(self, generation: Generation) -> bool:
        """Tell whether nothing was ever written: Milvus Lite fails on BM25, and on reading vectors, without a single row."""
        name, timeout = self._name(generation), self._settings.timeout_s
        if name not in self._filled:
            (answer,) = self._call(
                generation.kind,
                "count",
                lambda: self._client.query(name, filter="", output_fields=["count(*)"], timeout=timeout),
            )
            if answer["count(*)"]:
                self._filled.add(name)
        return name not in self._filled

    def _name(self, generation: Generation) -> str:
        return self._settings.collection_prefix + generation.collection

    def _query(
        self, generation: Generation, expression: str, fields: list[str], limit: int, **options: str
    ) -> list[dict[str, Any]]:
        return list(
            self._call(
                generation.kind,
                "query",
                lambda: self._client.query(
                    self._name(generation),
                    filter=expression,
                    output_fields=["chunk_id", *fields],
                    limit=limit,
                    timeout=self._settings.timeout_s,
                    **options,
                ),
            )
        )

    def _delete(self, generation: Generation, expression: str) -> None:
        name, timeout = self._name(generation), self._settings.write_timeout_s
        self._call(generation.kind, "delete", lambda: self._client.delete(name, filter=expression, timeout=timeout))

    def _is_recent(self) -> bool:
        return self._version is not None and self._version >= _RECENT

    def _create(self, name: str, generation: Generation) -> None:
        if generation.kind == SPARSE and self._version is not None and not self._is_recent():
            raise VectorStoreRefusedError("BM25 needs Milvus 2.5: upgrade it, or set features.sparse to false")
        self._client.create_collection(
            name,
            schema=collection_schema(generation, is_partitioned=self._is_recent()),
            index_params=index_params(generation, self._settings),
            consistency_level=_CONSISTENCY,
            timeout=self._settings.write_timeout_s,
        )

    def _call(self, kind: str, operation: str, run: Callable[[], T]) -> T:
        started = time.perf_counter()
        outcome = "ok"
        try:
            return run()
        except (MilvusException, grpc.RpcError) as error:
            translated = translate(error)
            outcome = translated.code
            raise translated from error
        finally:
            elapsed = time.perf_counter() - started
            metrics.MILVUS_SECONDS.labels(kind, operation, outcome).observe(elapsed)


def _version(client: MilvusClient, timeout_s: float) -> Version | None:
    """Return the version of a server; None for Milvus Lite behind a port, which does not know the call."""
    try:
        answer = client.get_server_version(timeout=timeout_s)
    except grpc.RpcError as error:
        if isinstance(error, grpc.Call) and error.code() == grpc.StatusCode.UNIMPLEMENTED:
            return None
        raise
    numbers = re.match(r"v?(\d+)\.(\d+)", answer)
    return (int(numbers[1]), int(numbers[2])) if numbers else _RECENT


def translate(error: MilvusException | grpc.RpcError) -> VectorStoreError:
    """Return our own error for one of Milvus's or gRPC's."""
    if isinstance(error, grpc.RpcError):
        unsupported = isinstance(error, grpc.Call) and error.code() == grpc.StatusCode.UNIMPLEMENTED
        return VectorStoreRefusedError("the vector store cannot do this") if unsupported else VectorStoreError(_SILENT)
    if error.code == _COLLECTION_MISSING:
        return VectorStoreRefusedError("a collection is missing from the vector store")
    if error.code in _REFUSED and _UNSETTLED not in str(error):
        return VectorStoreRefusedError("the vector store refused the call")
    return VectorStoreError(_SILENT)


_SILENT = "the vector store does not answer"


def _candidates(hits: Any) -> list[Candidate]:
    return [Candidate(chunk_id, score) for chunk_id, score in zip(hits.ids, hits.distances, strict=True)]


def _range_clause(item: VersionRange) -> str:
    return f"(document_key == {hex_literal(item.document_key)} and version >= {item.start:d} and version < {item.below:d})"


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Let a child started in the block ignore Ctrl-C: Milvus Lite must outlive the requests that are being finished."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
