"""Every metric the service exports; all labels are bounded."""

from collections.abc import Iterable
from itertools import product

from prometheus_client import Counter, Gauge, Histogram, start_http_server

_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

REQUESTS = Counter("rag_requests_total", "HTTP requests answered.", ["endpoint", "method", "status"])
REQUEST_SECONDS = Histogram("rag_request_duration_seconds", "Time to answer a request.", ["endpoint"], buckets=_FAST)
ACTIVE_REQUESTS = Gauge("rag_active_requests", "Requests being answered.")
ERRORS = Counter("rag_errors_total", "Requests answered with an error.", ["endpoint", "error_type"])
STAGE_SECONDS = Histogram("rag_stage_duration_seconds", "Time of one stage of a request.", ["stage"], buckets=_FAST)
DEGRADED = Counter("rag_degraded_total", "Answers given without one of their parts.", ["component"])

EMBEDDING_CACHE_HITS = Counter("rag_embedding_cache_hits_total", "Query embeddings found in the cache.")
EMBEDDING_CACHE_MISSES = Counter("rag_embedding_cache_misses_total", "Query embeddings that had to be computed.")
EMBEDDING_CACHE_SIZE = Gauge("rag_embedding_cache_size", "Query embeddings in the cache.")
EMBEDDING_SECONDS = Histogram(
    "rag_embedding_generation_duration_seconds", "Time to encode one batch.", ["kind"], buckets=_FAST
)

MILVUS_SECONDS = Histogram(
    "rag_milvus_operation_duration_seconds",
    "Time of one call to Milvus.",
    ["collection", "operation", "outcome"],
    buckets=_FAST,
)
BREAKER_STATE = Gauge("rag_circuit_breaker_state", "0 closed, 1 half open, 2 open.", ["dependency"])
BULKHEAD_IN_USE = Gauge("rag_bulkhead_in_use", "Permits taken.", ["bulkhead"])
BULKHEAD_REJECTED = Counter("rag_bulkhead_rejected_total", "Calls that found no permit in time.", ["bulkhead"])

DB_POOL_SIZE = Gauge("rag_db_pool_size", "Database connections there may be.")
DB_POOL_IN_USE = Gauge("rag_db_pool_in_use", "Database connections in use.")
DB_CONNECTIONS_OPENED = Counter("rag_db_pool_connections_opened_total", "Database connections opened.")
DB_CHECKOUTS = Counter("rag_db_pool_checkouts_total", "Times a database connection was taken from the pool.")
DB_POOL_EXHAUSTED = Counter("rag_db_pool_exhausted_total", "Times no database connection came free in time.")
DOCUMENTS_INGESTED = Counter("rag_documents_ingested_total", "Documents handed in, by what became of them.", ["status"])
JOBS = Counter("rag_jobs_total", "Background jobs finished.", ["kind", "outcome"])
JOBS_WAITING = Gauge("rag_jobs_waiting", "Background jobs in the table.", ["state"])
JOB_LISTENERS = Gauge("rag_job_listeners", "Connections that follow jobs.")
DROPPED_HITS = Counter("rag_hydration_dropped_total", "Candidates that SQL did not confirm.")
REINDEXED = Counter("rag_reindexed_chunks_total", "Chunks written into a generation that is being built.")
REINDEX_PROGRESS = Gauge("rag_reindex_progress", "Share of the chunks that the reindexing in this process has written.")
REINDEX_RESTS = Gauge("rag_reindex_rests", "Rests of reindexing, in times of what a step took; 0: nobody to spare.")
CHAT_ANSWERED = Counter("rag_chat_answered_total", "Chat answers.", ["answered"])
SHED = Counter("rag_shed_total", "Requests turned away because too many were in work.", ["kind"])
IDENTITY_LOOKUPS = Counter("rag_identity_lookups_total", "Identities proven, from memory or by a look-up.", ["source"])
AUDITED = Counter("rag_audit_entries_total", "Deeds written down in the audit log, or lost.", ["outcome"])
RATE_LIMITED = Counter("rag_rate_limited_total", "Requests refused by a rate limit.", ["endpoint"])


def begin(counter: Counter, *values: Iterable[str]) -> None:
    """Let a counter stand at zero for every combination of label values: no rate knows of what was not there before."""
    for labels in product(*values):
        counter.labels(*labels)


def serve(port: int) -> None:
    """Show the metrics of this process on a port of loopback, for a process that serves nothing else."""
    start_http_server(port, addr="127.0.0.1")
