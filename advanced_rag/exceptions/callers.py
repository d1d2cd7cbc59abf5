"""What is wrong with the one who calls: nobody knows him, or he may not, or no more today."""

from collections.abc import Mapping
from typing import Any, ClassVar

from advanced_rag.exceptions.base import RagError


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
