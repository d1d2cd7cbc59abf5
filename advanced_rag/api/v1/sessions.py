"""Sessions of chat, and feedback on its answers."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, status

from advanced_rag.api.body import StrictJsonRoute
from advanced_rag.api.context import BoundedContext
from advanced_rag.api.identity import needs
from advanced_rag.api.schemas.chat import (
    FeedbackRequest,
    FeedbackResponse,
    LineageOut,
    MessageOut,
    MessagePage,
    SessionOut,
    SessionPage,
    SessionRequest,
)

router = APIRouter(route_class=StrictJsonRoute, tags=["chat"])

SessionIdPath = Annotated[str, Path(max_length=64)]
Limit = Annotated[int, Query(ge=1, le=200)]
Cursor = Annotated[str | None, Query(max_length=600)]


@router.post("/v1/sessions", dependencies=[needs("chat")], status_code=status.HTTP_201_CREATED)
async def create_session(body: SessionRequest, context: BoundedContext) -> SessionOut:
    """Open a session."""
    return SessionOut.of(await context.services.sessions.create(context.principal, body.title))


@router.get("/v1/sessions", dependencies=[needs("chat")])
async def list_sessions(context: BoundedContext, limit: Limit = 50, cursor: Cursor = None) -> SessionPage:
    """List sessions, newest first."""
    page = await context.services.sessions.page(context.principal, limit, cursor)
    return SessionPage(sessions=[SessionOut.of(item) for item in page.items], next_cursor=page.next_cursor)


@router.get("/v1/sessions/{session_id}", dependencies=[needs("chat")])
async def get_session(session_id: SessionIdPath, context: BoundedContext) -> SessionOut:
    """Return a session."""
    return SessionOut.of(await context.services.sessions.get(context.principal, session_id))


@router.get("/v1/sessions/{session_id}/messages", dependencies=[needs("chat")])
async def list_messages(
    session_id: SessionIdPath, context: BoundedContext, limit: Limit = 50, cursor: Cursor = None
) -> MessagePage:
    """List the messages of a session, oldest first."""
    page = await context.services.sessions.messages(context.principal, session_id, limit, cursor)
    return MessagePage(messages=[MessageOut.of(item) for item in page.items], next_cursor=page.next_cursor)


@router.patch("/v1/sessions/{session_id}", dependencies=[needs("chat")])
async def rename_session(session_id: SessionIdPath, body: SessionRequest, context: BoundedContext) -> SessionOut:
    """Change the title of a session."""
    return SessionOut.of(await context.services.sessions.rename(context.principal, session_id, body.title))


@router.delete("/v1/sessions/{session_id}", dependencies=[needs("chat")], status_code=status.HTTP_204_NO_CONTENT)
async def delete_session(session_id: SessionIdPath, context: BoundedContext) -> None:
    """Delete a session with its messages."""
    await context.services.sessions.delete(context.principal, session_id)


@router.get("/v1/messages/{message_id}/lineage", dependencies=[needs("chat")])
async def get_lineage(message_id: SessionIdPath, context: BoundedContext) -> LineageOut:
    """Tell what made an answer: documents and versions, index, model, settings."""
    return LineageOut.model_validate(await context.services.sessions.lineage(context.principal, message_id))


@router.post("/v1/feedback", dependencies=[needs("chat")], status_code=status.HTTP_201_CREATED)
async def add_feedback(body: FeedbackRequest, context: BoundedContext) -> FeedbackResponse:
    """Say what an answer was worth."""
    feedback_id = await context.services.sessions.add_feedback(context.principal, body.message_id, body.rating, body.comment)
    return FeedbackResponse(id=feedback_id, request_id=context.request_id)
