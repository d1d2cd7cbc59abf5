"""Chat over a WebSocket: each message is a question, answered by the events of a stream."""

from contextlib import aclosing

from asgi_correlation_id import correlation_id
from fastapi import APIRouter, WebSocket
from pydantic import ValidationError

from advanced_rag.api.body import parse_json
from advanced_rag.api.context import RequestContext
from advanced_rag.api.schemas.chat import ChatRequest
from advanced_rag.api.sockets import admitted, count, heard, refusal
from advanced_rag.api.v1.chat import question_of, wire
from advanced_rag.container import Container
from advanced_rag.exceptions import InvalidRequestError, RagError
from advanced_rag.models.identity import Principal
from advanced_rag.resilience.deadline import Deadline

router = APIRouter()


@router.websocket("/v1/chat/ws")
async def chat_socket(socket: WebSocket) -> None:
    """Answer questions until the client leaves: text frames of ``{event, data}`` for each body of POST /v1/chat."""
    async with admitted(socket, "chat") as principal:
        while True:
            text = await heard(socket)
            try:
                await _answer(socket, principal, text)
            except RagError as error:
                await socket.send_json(refusal(error))


async def _answer(socket: WebSocket, principal: Principal, text: str) -> None:
    container: Container = socket.app.state.opening.container
    await count(socket, "chat")
    body = _parse(text)
    deadline = Deadline.after(container.settings.server.request_timeout_s)
    context = RequestContext(container, principal, deadline, correlation_id.get(), [])
    async with aclosing(container.chat.stream(principal, question_of(body), deadline)) as events:
        async for event in events:
            name, data = wire(event, context)
            await socket.send_text(f'{{"event":"{name}","data":{data}}}')


def _parse(text: str) -> ChatRequest:
    try:
        return ChatRequest.model_validate(parse_json(text.encode("utf-8", "surrogatepass")))
    except ValidationError:
        raise InvalidRequestError("the message does not fit the schema of POST /v1/chat") from None
