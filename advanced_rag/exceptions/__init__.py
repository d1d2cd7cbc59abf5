"""Every error the service raises on purpose.

    RagError
    ├── StartupError                  one clear line, exit status 1
    ├── InvalidRequestError     4xx   the caller must change something
    │   ├── MalformedBodyError, MalformedFormError 400
    │   ├── UnsupportedMediaTypeError 415
    │   ├── BodyTooLargeError   413
    │   ├── BodyTooSlowError    408
    │   ├── InvalidFilterError, InvalidCursorError, UnknownDomainError, UrlRefusedError, FetchTooLargeError
    │   ├── FeatureDisabledError
    │   │   └── FetchDisabledError
    │   ├── FileError           422   a file cannot be read: one class per cause, in file_errors.py
    │   ├── NotFoundError       404
    │   └── ConflictError       409
    │       ├── IdTakenError, OnHoldError, KeyReusedError, JobLostError
    │       └── ReindexError
    │           └── WorseIndexError
    ├── CredentialsError        401   nobody is known by what the request carries
    │   ├── MissingCredentialsError, ExpiredCredentialsError, RevokedCredentialsError,
    │   ├── WrongPasswordError, NotYetValidCredentialsError
    │   └── LockedOutError   429
    ├── ForbiddenError          403   known, and not allowed
    │   ├── MissingScopeError
    │   ├── RegistrationClosedError
    │   ├── StorageQuotaExceededError
    │   └── TenantDisabledError
    ├── RateLimitedError        429   a client calls too often
    ├── QuotaExceededError      429   a tenant has used up its day
    ├── FetchFailedError        502   a URL gives nothing
    │   └── FetchTimeoutError   504
    ├── BackupError                   one clear line, exit status 1
    ├── WorkerLostError               stands on a job
    ├── OverloadedError         503   a queue is full or the deadline is too near: come back later
    │   ├── BulkheadFullError
    │   ├── PoolExhaustedError
    │   └── SlowConsumerError
    └── UnavailableError        503   something the service needs does not answer
        ├── StartingError
        ├── CircuitOpenError
        ├── DeadlineExceededError
        ├── DependencyTimeoutError
        ├── DatabaseUnavailableError
        │   └── TransactionUndoneError
        ├── VectorStoreError
        │   └── VectorStoreRefusedError
        ├── SharedStoreError
        ├── FileStoreError
        │   └── FileMissingError
        ├── EncoderError
        ├── EncoderMissingError
        ├── RerankerError
        ├── IdentityProviderError
        └── ProviderError

Each class carries a stable ``code`` (docs/ERRORS.md) and an HTTP status; ``api/errors.py`` is the only place that turns
them into a response. Foreign exceptions are translated where the library is called.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

from advanced_rag.exceptions.base import FieldError as FieldError, RagError as RagError
from advanced_rag.exceptions.callers import (
    CredentialsError as CredentialsError,
    ExpiredCredentialsError as ExpiredCredentialsError,
    ForbiddenError as ForbiddenError,
    LockedOutError as LockedOutError,
    MissingCredentialsError as MissingCredentialsError,
    MissingScopeError as MissingScopeError,
    NotYetValidCredentialsError as NotYetValidCredentialsError,
    QuotaExceededError as QuotaExceededError,
    RateLimitedError as RateLimitedError,
    RegistrationClosedError as RegistrationClosedError,
    RevokedCredentialsError as RevokedCredentialsError,
    StorageQuotaExceededError as StorageQuotaExceededError,
    TenantDisabledError as TenantDisabledError,
    WrongPasswordError as WrongPasswordError,
)


class StartupError(RagError):
    """The service cannot start as it is configured."""

    code = "startup_failed"


class InvalidRequestError(RagError):
    """The request cannot be served as it stands."""

    code = "invalid_request"
    status = 422

    def __init__(self, message: str, *, fields: Sequence[FieldError] = (), **details: Any) -> None:
        super().__init__(message, **details)
        self.fields = tuple(fields)

    @classmethod
    def at(cls, field: str, message: str, code: str = "invalid_value") -> "InvalidRequestError":
        """Name the one field that is wrong."""
        return cls(message, fields=[FieldError(field, code, message)])


class MalformedBodyError(InvalidRequestError):
    """The body is not strict UTF-8 JSON."""

    code = "malformed_json"
    status = 400


class MalformedFormError(InvalidRequestError):
    """The body is not what multipart/form-data is."""

    code = "malformed_form"
    status = 400


class UnsupportedMediaTypeError(InvalidRequestError):
    """The body has another type than application/json in UTF-8."""

    code = "unsupported_media_type"
    status = 415


class BodyTooLargeError(InvalidRequestError):
    """The body is larger than the route reads."""

    code = "body_too_large"
    status = 413


class BodyTooSlowError(InvalidRequestError):
    """The body takes longer to arrive than anybody waits for it."""

    code = "body_too_slow"
    status = 408


class InvalidFilterError(InvalidRequestError):
    """A metadata filter does not follow the filter grammar."""

    code = "invalid_filter"


class InvalidCursorError(InvalidRequestError):
    """A page cursor was not made by this service."""

    code = "invalid_cursor"


class UnknownDomainError(InvalidRequestError):
    """A domain is named that the settings do not declare."""

    code = "unknown_domain"


class FeatureDisabledError(InvalidRequestError):
    """The request asks for something that is switched off in the settings."""

    code = "feature_disabled"


class FetchDisabledError(FeatureDisabledError):
    """The settings do not let anybody fetch URLs."""

    code = "fetch_disabled"


class UrlRefusedError(InvalidRequestError):
    """The URL is none that may be fetched, or leads to an address that must not be reached."""

    code = "url_refused"


class FetchTooLargeError(InvalidRequestError):
    """What the URL holds is larger than what is fetched."""

    code = "fetch_too_large"


class NotFoundError(InvalidRequestError):
    """The thing does not exist for this tenant."""

    code = "not_found"
    status = 404


class ConflictError(InvalidRequestError):
    """The thing changed or is busy."""

    code = "conflict"
    status = 409


class IdTakenError(ConflictError):
    """The id stands for a document the caller may not see."""

    code = "id_taken"


class OnHoldError(ConflictError):
    """A legal hold keeps this from being deleted."""

    code = "on_hold"


class KeyReusedError(ConflictError):
    """The idempotency key was used for another request."""

    code = "idempotency_key_reused"


class JobLostError(ConflictError):
    """The job was cancelled, or went to another worker, while it was being worked on."""

    code = "job_lost"


class ReindexError(ConflictError):
    """The index cannot be built anew, or not as things stand."""

    code = "reindex_failed"


class WorseIndexError(ReindexError):
    """What was built is worse on the evaluation set than what is searched, by more than is tolerated."""

    code = "index_worse"


class FetchFailedError(RagError):
    """The URL gives nothing: its server cannot be reached, answers with an error, or breaks off."""

    code = "fetch_failed"
    status = 502


class FetchTimeoutError(FetchFailedError):
    """The URL did not answer in time."""

    code = "fetch_timeout"
    status = 504


class BackupError(RagError):
    """A backup cannot be made, or cannot be restored as things stand."""

    code = "backup_failed"


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


class WorkerLostError(RagError):
    """Too many workers were lost over a job."""

    code = "worker_lost"


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
