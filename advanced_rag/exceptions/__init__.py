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
from advanced_rag.exceptions.outages import (
    BulkheadFullError as BulkheadFullError,
    CircuitOpenError as CircuitOpenError,
    DatabaseUnavailableError as DatabaseUnavailableError,
    DeadlineExceededError as DeadlineExceededError,
    DependencyTimeoutError as DependencyTimeoutError,
    EncoderError as EncoderError,
    EncoderMissingError as EncoderMissingError,
    FileMissingError as FileMissingError,
    FileStoreError as FileStoreError,
    IdentityProviderError as IdentityProviderError,
    OverloadedError as OverloadedError,
    PoolExhaustedError as PoolExhaustedError,
    ProviderError as ProviderError,
    RerankerError as RerankerError,
    SharedStoreError as SharedStoreError,
    SlowConsumerError as SlowConsumerError,
    StartingError as StartingError,
    TransactionUndoneError as TransactionUndoneError,
    UnavailableError as UnavailableError,
    VectorStoreError as VectorStoreError,
    VectorStoreRefusedError as VectorStoreRefusedError,
)
from advanced_rag.exceptions.requests import (
    BodyTooLargeError as BodyTooLargeError,
    BodyTooSlowError as BodyTooSlowError,
    ConflictError as ConflictError,
    FeatureDisabledError as FeatureDisabledError,
    FetchDisabledError as FetchDisabledError,
    FetchTooLargeError as FetchTooLargeError,
    IdTakenError as IdTakenError,
    InvalidCursorError as InvalidCursorError,
    InvalidFilterError as InvalidFilterError,
    InvalidRequestError as InvalidRequestError,
    JobLostError as JobLostError,
    KeyReusedError as KeyReusedError,
    MalformedBodyError as MalformedBodyError,
    MalformedFormError as MalformedFormError,
    NotFoundError as NotFoundError,
    OnHoldError as OnHoldError,
    ReindexError as ReindexError,
    UnknownDomainError as UnknownDomainError,
    UnsupportedMediaTypeError as UnsupportedMediaTypeError,
    UrlRefusedError as UrlRefusedError,
    WorseIndexError as WorseIndexError,
)


class StartupError(RagError):
    """The service cannot start as it is configured."""

    code = "startup_failed"


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


class WorkerLostError(RagError):
    """Too many workers were lost over a job."""

    code = "worker_lost"
