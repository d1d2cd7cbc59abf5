"""Jobs over a WebSocket: what happens to all that the caller may see, as it happens."""

import asyncio
from contextlib import aclosing

from fastapi import APIRouter, WebSocket

from advanced_rag.api.schemas.jobs import JobEventOut
from advanced_rag.api.sockets import admitted, heard, refusal
from advanced_rag.container import Container
from advanced_rag.exceptions import InvalidRequestError, RagError
from advanced_rag.models.identity import Principal
from advanced_rag.models.jobs import MAX_CURSOR
from advanced_rag.services.job_desk import seen_by

router = APIRouter()

_NOT_LIKE_THIS, _TRY_AGAIN_LATER = 1008, 1013


@router.websocket("/v1/jobs/ws")
async def job_socket(socket: WebSocket) -> None:
    """Send ``{event: "job", data}`` for each event from ``?cursor=`` on, or from now; ``?job_id=`` asks for one job's alone.

    A frame ``ping`` is answered ``pong``. Who does not take what is sent is hung up on, and comes back with his cursor.
    """
    async with admitted(socket, "ingest") as principal:
        sending = asyncio.create_task(_send(socket, principal))
        listening = asyncio.create_task(_listen(socket))
        try:
            done, _ = await asyncio.wait({sending, listening}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            sending.cancel()
            listening.cancel()
            await asyncio.gather(sending, listening, return_exceptions=True)


async def _send(socket: WebSocket, principal: Principal) -> None:
    services: Container = socket.app.state.opening.container
    job_id, seen = socket.query_params.get("job_id"), seen_by(principal)
    try:
        after = _cursor(socket.query_params.get("cursor"))
        follow = services.feed.follow(principal.tenant, after, job_id=job_id, user_id=seen)
        async with aclosing(follow) as events:
            async for event in events:
                data = JobEventOut.of(event).model_dump_json()
                await socket.send_text(f'{{"event":"job","data":{data}}}')
    except RagError as error:
        await socket.send_json(refusal(error))
        await socket.close(_NOT_LIKE_THIS if isinstance(error, InvalidRequestError) else _TRY_AGAIN_LATER, error.code)


async def _listen(socket: WebSocket) -> None:
    while True:
        if await heard(socket) == "ping":
            await socket.send_text("pong")


def _cursor(value: str | None) -> int | None:
    if value is None:
        return None
    if not value.isascii() or not value.isdecimal() or int(value) > MAX_CURSOR:
        raise InvalidRequestError.at("cursor", "a cursor is the number of an event")
    return int(value)
