"""Chat."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import orjson
from fastapi import APIRouter, Response
from fastapi.sse import EventSourceResponse, format_sse_event

from advanced_rag.api.context import Context, RequestContext
from advanced_rag.api.errors import problem
from advanced_rag.api.hangup import CancellingRoute
from advanced_rag.api.identity import needs
from advanced_rag.api.schemas.chat import ChatRequest, ChatResponse, CitationOut
from advanced_rag.api.schemas.retrieve import RetrieveResponse
from advanced_rag.exceptions import RagError
from advanced_rag.models.chat import Citation
from advanced_rag.models.filters import parse_filter
from advanced_rag.services.chat import ChatEvent, ChatQuestion, Retrieved, Token

router = APIRouter(route_class=CancellingRoute, tags=["chat"])


@router.post(
    "/v1/chat",
    dependencies=[needs("chat")],
    response_model=ChatResponse,
    responses={200: {"content": {"text/event-stream": {}}}},
)
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
        await context.services.sessions.get(context.principal, body.session_id, context.deadline)
    if body.stream:
        return EventSourceResponse(_events(question, context), headers={"Cache-Control": "no-cache"})
    answer = await context.services.chat.answer(context.principal, question, context.deadline)
    return ChatResponse.of(answer, context.request_id)


async def _events(question: ChatQuestion, context: RequestContext) -> AsyncIterator[bytes]:
    """Yield the events retrieval, token, citation, done; or error, which ends the stream."""
    try:
        async with aclosing(context.services.chat.stream(context.principal, question, context.deadline)) as events:
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
