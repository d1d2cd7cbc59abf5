"""Users with a password here."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from advanced_rag.api.schemas.base import Answer, Name, Schema
from advanced_rag.models.identity import User
from advanced_rag.services.users import Login

Email = Annotated[str, StringConstraints(min_length=3, max_length=320, pattern=r"^[^@\s]+@[^@\s]+$")]
Password = Annotated[str, StringConstraints(min_length=1, max_length=1024)]
NewPassword = Annotated[str, StringConstraints(min_length=10, max_length=1024)]
Token = Annotated[str, StringConstraints(min_length=1, max_length=255)]
Role = Annotated[str, StringConstraints(min_length=1, max_length=32)]


class RegisterRequest(Schema):
    """Who registers; an invitation where registering needs one, or joins another tenant."""

    email: Email
    password: NewPassword
    name: Name
    invitation: Token | None = None


class LoginRequest(Schema):
    """Who logs in."""

    email: Email
    password: Password


class RefreshRequest(Schema):
    """A refresh token, which is good once."""

    refresh_token: Token


class PasswordRequest(Schema):
    """The old password and the new one."""

    old: Password
    new: NewPassword


class InvitationRequest(Schema):
    """What somebody who is invited becomes."""

    role: Role = "writer"
    groups: list[Name] = Field(default_factory=list, max_length=100)
    valid_for_days: int = Field(7, ge=1, le=90)


class InvitationOut(Answer):
    """An invitation; it is shown this once."""

    invitation: str


class UserUpdate(Schema):
    """What changes about a user; what is left out stays."""

    role: Role | None = None
    groups: list[Name] | None = Field(None, max_length=100)
    is_active: bool | None = None


class UserOut(Answer):
    """A user."""

    id: str
    email: str
    name: str
    role: str
    groups: list[str]
    is_active: bool
    created_at: datetime

    @classmethod
    def of(cls, user: User) -> "UserOut":
        """Make it from what the service says."""
        return cls.model_validate(user)


class UserPage(Answer):
    """A page of users."""

    users: list[UserOut]
    next_cursor: str | None


class LoginOut(Answer):
    """Tokens: the access token goes into Authorization: Bearer, the refresh token gives new ones, once."""

    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - OAuth's name for how it is sent
    expires_in: int
    refresh_token: str
    refresh_expires_in: int
    user: UserOut

    @classmethod
    def of(cls, login: Login) -> "LoginOut":
        """Make it from what the service says."""
        return cls(
            access_token=login.access_token,
            expires_in=login.expires_in_s,
            refresh_token=login.refresh_token,
            refresh_expires_in=login.refresh_expires_in_s,
            user=UserOut.of(login.user),
        )


class TicketOut(Answer):
    """A ticket for ?ticket= of a WebSocket, good once, and for so many seconds."""

    ticket: str
    expires_in: int


class AccountOut(Answer):
    """Who the caller is, and what he may do."""

    tenant: str
    user_id: str
    groups: list[str]
    scopes: list[str]
