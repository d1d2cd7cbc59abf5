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
    question = question_of(body)
    if body.session_id is not None:
        await context.services.sessions.get(context.principal, body.session_id, context.deadline)
    if body.stream:
        return EventSourceResponse(_events(question, context), headers={"Cache-Control": "no-cache"})
    answer = await context.services.chat.answer(context.principal, question, context.deadline)
    return ChatResponse.of(answer, context.request_id)


def question_of(body: ChatRequest) -> ChatQuestion:
    """Return what the service is asked; raises InvalidFilterError."""
    return ChatQuestion(
        message=body.message,
        session_id=body.session_id,
        top_k=body.top_k,
        filters=parse_filter(body.filters or {}),
        domain=body.domain,
    )


async def _events(question: ChatQuestion, context: RequestContext) -> AsyncIterator[bytes]:
    """Yield the events retrieval, token, citation, done; or error, which ends the stream."""
    try:
        async with aclosing(context.services.chat.stream(context.principal, question, context.deadline)) as events:
            async for event in events:
                name, data = wire(event, context)
                yield format_sse_event(event=name, data_str=data)
    except RagError as error:
        yield format_sse_event(event="error", data_str=_json(problem(error.code, error.message)))


def wire(event: ChatEvent, context: RequestContext) -> tuple[str, str]:
    """Return the name of an event and its data as JSON."""
    match event:
        case Retrieved(result):
            return "retrieval", RetrieveResponse.of(result, context.request_id).model_dump_json(exclude_none=True)
        case Token(text):
            return "token", _json({"text": text})
        case Citation():
            return "citation", CitationOut.model_validate(event).model_dump_json()
        case answer:
            return "done", ChatResponse.of(answer, context.request_id).model_dump_json()


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
