"""A server that speaks the OpenAI protocol and misbehaves as its model's name says."""

import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import orjson
import uvicorn
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import StreamingResponse

from tests.support.service import free_port

ANSWER = ["The pump ", "is reset [1] ", "by the blue button [7]."]


class StubLlm:
    """Models: ``speaks``, ``down`` (500), ``busy`` (429), ``refuses`` (400), ``cut`` (breaks off), ``silent`` (no words)."""

    def __init__(self, url: str, requests: list[dict[str, Any]]) -> None:
        self.url = url
        self.requests = requests

    def asked(self) -> list[str]:
        return [request["model"] for request in self.requests]


@contextmanager
def running_llm() -> Iterator[StubLlm]:
    """Serve the stub from a thread until the block ends."""
    requests: list[dict[str, Any]] = []
    port = free_port()
    config = uvicorn.Config(_app(requests), port=port, log_level="critical", timeout_graceful_shutdown=1)
    server = _Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    server.ready.wait(10)
    try:
        yield StubLlm(f"http://127.0.0.1:{port}/v1", requests)
    finally:
        server.should_exit = True
        thread.join(10)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    async def startup(self, *args: Any, **options: Any) -> None:
        await super().startup(*args, **options)
        self.ready.set()


def _app(requests: list[dict[str, Any]]) -> FastAPI:
    app = FastAPI()

    @app.post("/v1/chat/completions")
    async def complete(request: Request) -> StreamingResponse:
        body = orjson.loads(await request.body())
        requests.append(body)
        failures = {"down": 500, "busy": 429, "refuses": 400}
        if body["model"] in failures:
            raise HTTPException(failures[body["model"]])
        return StreamingResponse(_stream(body["model"]), media_type="text/event-stream")

    return app


async def _stream(model: str) -> AsyncIterator[bytes]:
    parts = {"speaks": ANSWER, "cut": ANSWER[:1], "silent": []}[model]
    for part in parts:
        chunk = {
            "id": "1",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": model,
            "choices": [{"index": 0, "delta": {"content": part}, "finish_reason": None}],
        }
        yield b"data: " + orjson.dumps(chunk) + b"\n\n"
    if model == "cut":
        raise ConnectionResetError
    yield b"data: [DONE]\n\n"
