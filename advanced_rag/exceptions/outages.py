"""What passes by itself: too much work at once, or something that does not answer."""

from typing import ClassVar

from advanced_rag.exceptions.base import RagError


class OverloadedError(RagError):
    """More work than the queues hold."""

    code = "overloaded"
    status = 503
    retry_after_s: ClassVar[int] = 1


class BulkheadFullError(OverloadedError):
    """All permits of a bulkhead stayed taken for the whole wait."""

    code = "bulkhead_full"


class PoolExhaustedError(OverloadedError):
    """No database connection became free in time."""

    code = "database_busy"


class SlowConsumerError(OverloadedError):
    """A listener does not take what it is sent."""

    code = "slow_consumer"


class UnavailableError(RagError):
    """Something the service needs does not answer."""

    code = "unavailable"
    status = 503
    retry_after_s: ClassVar[int] = 5
    retryable: ClassVar[bool] = True
    blames_dependency: ClassVar[bool] = True
    is_undone: ClassVar[bool] = False  # whether nothing at all was done, for certain


class StartingError(UnavailableError):
    """The service waits for something it needs before it can answer anything."""

    code = "starting"


class CircuitOpenError(UnavailableError):
    """The circuit breaker of a dependency is open: it was not called."""

    code = "circuit_open"
    retryable = False
    is_undone = True


class DeadlineExceededError(UnavailableError):
    """The time the caller gave the request is used up; that says nothing about who was being waited for."""

    code = "deadline_exceeded"
    retryable = False
    blames_dependency = False


class DependencyTimeoutError(UnavailableError):
    """A dependency did not answer within its own time limit."""

    code = "dependency_timeout"
    retryable = False


class DatabaseUnavailableError(UnavailableError):
    """The SQL database does not answer or refused the statement."""

    code = "database_unavailable"


class TransactionUndoneError(DatabaseUnavailableError):
    """The database undid a transaction for the sake of another one."""

    code = "transaction_undone"
    is_undone = True
    blames_dependency = False


class VectorStoreError(UnavailableError):
    """Milvus does not answer."""

    code = "vector_store_unavailable"


class VectorStoreRefusedError(VectorStoreError):
    """Milvus answered and refused: asking again changes nothing."""

    code = "vector_store_refused"
    retryable = False


class SharedStoreError(UnavailableError):
    """Redis does not answer."""

    code = "redis_unavailable"


class FileStoreError(UnavailableError):
    """The folder of uploaded files cannot be written or read."""

    code = "file_store_unavailable"


class FileMissingError(FileStoreError):
    """The file of a job is not in the folder of uploaded files."""

    code = "file_missing"
    retryable = False


class EncoderError(UnavailableError):
    """The encoder failed on its input."""

    code = "encoder_failed"
    retryable = False


class EncoderMissingError(UnavailableError):
    """A collection is filled by an encoder that cannot be loaded on this machine."""

    code = "encoder_missing"
    retryable = False
    blames_dependency = False


class RerankerError(UnavailableError):
    """The reranker failed on its input."""

    code = "reranker_failed"
    retryable = False


class IdentityProviderError(UnavailableError):
    """The keys of the identity provider cannot be read."""

    code = "identity_provider_unavailable"


class ProviderError(UnavailableError):
    """A language model provider failed in a way that another one may not."""

    code = "provider_unavailable"
