"""Users: registering, logging in and out; for administrators, who they are and what they may do."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, status

from advanced_rag.api.body import StrictJsonRoute
from advanced_rag.api.context import BoundedContext, Services
from advanced_rag.api.identity import needs
from advanced_rag.api.schemas.auth import (
    AccountOut,
    InvitationOut,
    InvitationRequest,
    LoginOut,
    LoginRequest,
    PasswordRequest,
    RefreshRequest,
    RegisterRequest,
    TicketOut,
    UserOut,
    UserPage,
    UserUpdate,
)
from advanced_rag.exceptions import WrongPasswordError
from advanced_rag.models.identity import Principal, User
from advanced_rag.services.tickets import LIFETIME_S

router = APIRouter(route_class=StrictJsonRoute, tags=["auth"])

UserIdPath = Annotated[str, Path(max_length=64)]
Limit = Annotated[int, Query(ge=1, le=200)]
Cursor = Annotated[str | None, Query(max_length=600)]


@router.post("/v1/auth/register", status_code=status.HTTP_201_CREATED)
async def register(body: RegisterRequest, request: Request, services: Services) -> LoginOut:
    """Become a user with a password, where auth.registration allows it."""
    made = await services.identities.users.register(body.email, body.password, body.name, body.invitation)
    _is_done_by(request, made.user)
    return LoginOut.of(made)


@router.post("/v1/auth/login")
async def login(body: LoginRequest, request: Request, services: Services) -> LoginOut:
    """Log in."""
    try:
        made = await services.identities.users.log_in(body.email, body.password)
    except WrongPasswordError as error:
        _is_done_by(request, error.user)
        raise
    _is_done_by(request, made.user)
    return LoginOut.of(made)


@router.post("/v1/auth/refresh")
async def refresh(body: RefreshRequest, services: Services) -> LoginOut:
    """Get new tokens; a refresh token that is used twice ends its login."""
    return LoginOut.of(await services.identities.users.refresh(body.refresh_token))


@router.post("/v1/auth/logout", status_code=status.HTTP_204_NO_CONTENT)
async def logout(body: RefreshRequest, services: Services) -> None:
    """End a login; its access token ends by itself within minutes."""
    await services.identities.users.log_out(body.refresh_token)


def _is_done_by(request: Request, user: User) -> None:
    """Tell the audit log who it was."""
    request.state.principal = Principal(user.tenant, user.id, frozenset())


@router.post("/v1/auth/password", dependencies=[needs("account")], status_code=status.HTTP_204_NO_CONTENT)
async def change_password(body: PasswordRequest, context: BoundedContext) -> None:
    """Change one's own password, which ends every login."""
    await context.services.identities.users.change_password(context.principal, body.old, body.new)


@router.post("/v1/ws-ticket", dependencies=[needs("account")], status_code=status.HTTP_201_CREATED)
async def create_ticket(context: BoundedContext) -> TicketOut:
    """Get a ticket for a WebSocket, where a browser cannot send a header."""
    return TicketOut(ticket=await context.services.identities.tickets.issue(context.principal), expires_in=LIFETIME_S)


@router.get("/v1/auth/me", dependencies=[needs("account")])
async def get_account(context: BoundedContext) -> AccountOut:
    """Tell who the caller is, and what he may do."""
    who = context.principal
    return AccountOut(tenant=who.tenant, user_id=who.user_id, groups=sorted(who.groups), scopes=sorted(who.scopes))


@router.post("/v1/auth/invitations", dependencies=[needs("admin:users")], status_code=status.HTTP_201_CREATED)
async def create_invitation(body: InvitationRequest, context: BoundedContext) -> InvitationOut:
    """Invite somebody into the caller's tenant."""
    valid_for = timedelta(days=body.valid_for_days)
    made = await context.services.identities.users.invite(context.principal, body.role, tuple(body.groups), valid_for)
    return InvitationOut(invitation=made)


@router.get("/v1/users", dependencies=[needs("admin:users")])
async def list_users(context: BoundedContext, limit: Limit = 50, cursor: Cursor = None) -> UserPage:
    """List the users of the caller's tenant, oldest first."""
    page = await context.services.identities.users.page(context.tenant, limit, cursor)
    return UserPage(users=[UserOut.of(user) for user in page.items], next_cursor=page.next_cursor)


@router.patch("/v1/users/{user_id}", dependencies=[needs("admin:users")])
async def update_user(user_id: UserIdPath, body: UserUpdate, context: BoundedContext) -> UserOut:
    """Change what a user may do, or switch him off: his logins end within five seconds."""
    groups = None if body.groups is None else tuple(body.groups)
    user = await context.services.identities.users.update(
        context.principal, user_id, role=body.role, groups=groups, is_active=body.is_active
    )
    return UserOut.of(user)
