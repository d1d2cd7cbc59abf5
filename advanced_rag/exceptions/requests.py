"""What the caller must change: a request that cannot be served as it stands."""

from collections.abc import Sequence
from typing import Any

from advanced_rag.exceptions.base import FieldError, RagError


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
