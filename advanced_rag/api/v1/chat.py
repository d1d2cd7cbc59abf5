"""Chat, its sessions, and feedback."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Path, Query, Response, status
from fastapi.sse import EventSourceResponse, format_sse_event

from advanced_rag.api.context import Context, RequestContext
from advanced_rag.api.errors import problem
from advanced_rag.api.hangup import CancellingRoute
from advanced_rag.api.schemas import (
    ChatRequest,
    ChatResponse,
    CitationOut,
    FeedbackRequest,
    FeedbackResponse,
    MessageOut,
    MessagePage,
    RetrieveResponse,
    SessionOut,
    SessionPage,
    SessionRequest,
)
from advanced_rag.exceptions import RagError
from advanced_rag.models.chat import Citation
from advanced_rag.models.filters import parse_filter
from advanced_rag.services.chat import ChatEvent, ChatQuestion, Retrieved, Token

router = APIRouter(route_class=CancellingRoute, tags=["chat"])

SessionIdPath = Annotated[str, Path(max_length=64)]
Limit = Annotated[int, Query(ge=1, le=200)]
Cursor = Annotated[str | None, Query(max_length=600)]


@router.post("/v1/chat", response_model=ChatResponse)
async def chat(body: ChatRequest, context: Context) -> ChatResponse | Response:
    """Answer a question from the documents, with citations; with ``stream`` as server-sent events."""
    question = ChatQuestion(
        message=body.message,
        session_id=body.session_id,
        top_k=body.top_k,
        filters=parse_filter(body.filters or {}),
        domain=body.domain,
    )
    if body.session_id is not None:
        await context.services.chat.session(context.tenant, body.session_id)
    if body.stream:
        return EventSourceResponse(_events(question, context), headers={"Cache-Control": "no-cache"})
    answer = await context.services.chat.answer(context.tenant, question, context.deadline)
    return ChatResponse.of(answer, context.request_id)


async def _events(question: ChatQuestion, context: RequestContext) -> AsyncIterator[bytes]:
    """Yield the events retrieval, token, citation, done; or error, which ends the stream."""
    try:
        async with aclosing(context.services.chat.stream(context.tenant, question, context.deadline)) as events:
            async for event in events:
                yield _event(event, context)
    except RagError as error:
        yield format_sse_event(event="error", data_str=orjson.dumps(problem(error.code, error.message)).decode())


def _event(event: ChatEvent, context: RequestContext) -> bytes:
    match event:
        case Retrieved(result):
            found = RetrieveResponse.of(result, context.request_id)
            return format_sse_event(event="retrieval", data_str=found.model_dump_json(exclude_none=True))
        case Token(text):
            return format_sse_event(event="token", data_str=_json({"text": text}))
        case Citation():
            return format_sse_event(event="citation", data_str=CitationOut.model_validate(event).model_dump_json())
        case answer:
            done = ChatResponse.of(answer, context.request_id)
            return format_sse_event(event="done", data_str=done.model_dump_json())


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


@router.post("/v1/sessions", status_code=status.HTTP_201_CREATED)
async def create_session(body: SessionRequest, context: Context) -> SessionOut:
    """Open a session."""
    return SessionOut.of(await context.services.chat.create_session(context.tenant, body.title))


@router.get("/v1/sessions")
async def list_sessions(context: Context, limit: Limit = 50, cursor: Cursor = None) -> SessionPage:
    """List sessions, newest first."""
    page = await context.services.chat.sessions(context.tenant, limit, cursor)
    return SessionPage(sessions=[SessionOut.of(item) for item in page.items], next_cursor=page.next_cursor)


@router.get("/v1/sessions/{session_id}")
async def get_session(session_id: SessionIdPath, context: Context) -> SessionOut:
    """Return a session."""
    return SessionOut.of(await context.services.chat.session(context.tenant, session_id))


@router.get("/v1/sessions/{session_id}/messages")
async def list_messages(
    session_id: SessionIdPath, context: Context, limit: Limit = 50, cursor: Cursor = None
) -> MessagePage:
    """List the messages of a session, oldest first."""
    page = await context.services.chat.messages(context.tenant, session_id, limit, cursor)
    return MessagePage(messages=[MessageOut.of(item) for item in page.items], next_cursor=page.next_cursor)


@router.patch("/v1/sessions/{session_id}")
async def rename_session(session_id: SessionIdPath, body: SessionRequest, context: Context) -> SessionOut:
    """Change the title of a session."""
    return SessionOut.of(await context.services.chat.rename_session(context.tenant, session_id, body.title))


@router.delete("/v1/sessions/{session_id}", status_code=status.HTTP_204_NO_CONTENT)
async def delete_session(session_id: SessionIdPath, context: Context) -> None:
    """Delete a session with its messages."""
    await context.services.chat.delete_session(context.tenant, session_id)


@router.post("/v1/feedback", status_code=status.HTTP_201_CREATED)
async def add_feedback(body: FeedbackRequest, context: Context) -> FeedbackResponse:
    """Say what an answer was worth."""
    feedback_id = await context.services.chat.add_feedback(context.tenant, body.message_id, body.rating, body.comment)
    return FeedbackResponse(id=feedback_id, request_id=context.request_id)
