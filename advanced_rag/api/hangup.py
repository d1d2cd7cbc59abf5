"""A client that hangs up ends the work that was done for it."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from fastapi import Request, Response

from advanced_rag.api.body import StrictJsonRoute

CLIENT_CLOSED_REQUEST = 499  # nobody reads it: it is for the log and the metrics

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class CancellingRoute(StrictJsonRoute):
    """A route whose work is cancelled when its client is gone; for work that changes nothing half-way."""

    def get_route_handler(self) -> Handler:
        """Watch the connection while the request is handled."""
        handler = super().get_route_handler()

        async def watched(request: Request) -> Response:
            return await _unless_gone(request, handler)

        return watched


async def _unless_gone(request: Request, handler: Handler) -> Response:
    receive = _Receive(request.receive)
    work = asyncio.create_task(handler(Request(request.scope, receive, request._send)))
    gone = asyncio.create_task(receive.until_gone())
    try:
        await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        return await work if work.done() else Response(status_code=CLIENT_CLOSED_REQUEST)
    finally:
        await _end(gone)
        await _end(work)


class _Receive:
    """Passes the messages of the body on, and from its end on waits for the connection to close."""

    def __init__(self, receive: Callable[[], Awaitable[Any]]) -> None:
        self._receive = receive
        self._body_ended = asyncio.Event()

    async def __call__(self) -> Any:
        message = await self._receive()
        if not message.get("more_body"):
            self._body_ended.set()
        return message

    async def until_gone(self) -> None:
        await self._body_ended.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass


async def _end(task: "asyncio.Task[Any]") -> None:
    if not task.done():
        task.cancel()
        await asyncio.wait({task})
