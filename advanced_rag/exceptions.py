"""Every error the service raises on purpose.

    RagError
    ├── StartupError                  one clear line, exit status 1
    ├── InvalidRequestError     4xx   the caller must change something
    │   ├── MalformedBodyError  400
    │   ├── UnsupportedMediaTypeError 415
    │   ├── BodyTooLargeError   413
    │   ├── BodyTooSlowError    408
    │   ├── InvalidFilterError, InvalidCursorError, UnknownDomainError, FeatureDisabledError
    │   ├── FileError           422   a file cannot be read: one class per cause, in file_errors.py
    │   ├── NotFoundError       404
    │   └── ConflictError       409
    │       └── IdTakenError, OnHoldError, KeyReusedError, JobLostError
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
        ├── EncoderError
        ├── RerankerError
        ├── IdentityProviderError
        └── ProviderError

Each class carries a stable ``code`` (docs/ERRORS.md) and an HTTP status; ``api/errors.py`` is the only place that turns
them into a response. Foreign exceptions are translated where the library is called.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field of a request, never the value itself."""

    field: str
    code: str
    message: str


class RagError(Exception):
    """Base of every error raised on purpose."""

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


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


class CredentialsError(RagError):
    """Nobody is known by what the request carries."""

    code = "invalid_credentials"
    status = 401


class MissingCredentialsError(CredentialsError):
    """The request carries neither a key nor a token."""

    code = "missing_credentials"


class ExpiredCredentialsError(CredentialsError):
    """The key or token was good once."""

    code = "expired_credentials"


class RevokedCredentialsError(CredentialsError):
    """The key was revoked."""

    code = "revoked_credentials"


class LockedOutError(CredentialsError):
    """Too many logins failed: nobody tries again for a while."""

    code = "locked_out"
    status = 429

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class WrongPasswordError(CredentialsError):
    """The password of a user is another one; who he is stays here, and looks like any unknown address outside."""

    text: ClassVar[str] = "the address or the password is wrong"

    def __init__(self, user: Any) -> None:
        super().__init__(self.text)
        self.user = user


class NotYetValidCredentialsError(CredentialsError):
    """The token will be good later."""

    code = "premature_credentials"


class ForbiddenError(RagError):
    """The caller is known, and not allowed to do this."""

    code = "forbidden"
    status = 403


class MissingScopeError(ForbiddenError):
    """The caller was not granted the scope of the route."""

    code = "missing_scope"


class RegistrationClosedError(ForbiddenError):
    """Nobody becomes a user by registering, or not without an invitation."""

    code = "registration_closed"


class TenantDisabledError(ForbiddenError):
    """The caller's tenant is switched off."""

    code = "tenant_disabled"


class RateLimitedError(RagError):
    """A client called more often than it may."""

    code = "rate_limited"
    status = 429

    def __init__(self, message: str, retry_after_s: int, headers: Mapping[str, str]) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.headers = headers


class QuotaExceededError(RagError):
    """The tenant has used up what it may: for the day, which comes back, or of what it may hold."""

    code = "quota_exceeded"
    status = 429

    def __init__(self, quota: str, retry_after_s: int) -> None:
        super().__init__(f"the quota {quota} is used up", quota=quota)
        self.retry_after_s = retry_after_s


class StorageQuotaExceededError(ForbiddenError):
    """The tenant holds as much as it may."""

    code = "storage_quota_exceeded"


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


class EncoderError(UnavailableError):
    """The encoder failed on its input."""

    code = "encoder_failed"
    retryable = False


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
