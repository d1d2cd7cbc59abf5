"""Strict JSON bodies: UTF-8, no NaN, no lone surrogates, no NUL, bounded depth; anything else is a clear 4xx."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from fastapi import Request, Response
from fastapi.params import Security
from fastapi.routing import APIRoute

from advanced_rag.api.auditing import audited
from advanced_rag.api.identity import identify
from advanced_rag.exceptions import (
    BodyTooLargeError,
    BodyTooSlowError,
    FieldError,
    InvalidRequestError,
    MalformedBodyError,
    UnsupportedMediaTypeError,
)

MAX_DEPTH = 32
_UTF8 = {"", "utf-8", "utf8"}


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """The largest body each route reads, in bytes, and the time one has: ``timeout_s`` and what ``bytes_per_s`` adds."""

    default: int
    routes: Mapping[str, int]
    timeout_s: float
    bytes_per_s: int

    def of(self, route: str) -> int:
        """Return the limit of a route by its name."""
        return self.routes.get(route, self.default)


class StrictJsonRoute(APIRoute):
    """A route that knows who asks before it reads anything, reads JSON strictly, and has done written down."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Identify the caller, and read the body before FastAPI does."""
        handler = super().get_route_handler()
        is_public = not any(isinstance(dependency, Security) for dependency in self.dependencies)

        async def strict(request: Request) -> Response:
            if not is_public:
                await identify(request)
            return await audited(request, read(request))

        async def read(request: Request) -> Response:
            if self.body_field is not None:
                request = _StrictRequest(request.scope, request.receive)
                await request.json()
            return await handler(request)

        return strict


class _StrictRequest(Request):
    @property
    def parsed_body(self) -> Any:
        """The body, once it was read."""
        return getattr(self, "_json", None)

    async def json(self) -> Any:
        if not hasattr(self, "_json"):
            _check_media_type(self.headers.get("content-type", ""))
            self._json = parse_json(await self._bounded_body())
        return self._json

    async def _bounded_body(self) -> bytes:
        limits: BodyLimits = self.app.state.body_limits
        self._body = b"".join([part async for part in bounded_stream(self, limits.of(self.scope["route"].name))])
        return self._body


async def bounded_stream(request: Request, limit: int) -> AsyncGenerator[bytes]:
    """Yield a body of at most so many bytes, as it comes; raises BodyTooLargeError, BodyTooSlowError."""
    limits: BodyLimits = request.app.state.body_limits
    if int(request.headers.get("content-length", "0")) > limit:
        raise _too_large(limit)
    size, waited_s = 0, 0.0
    parts = aiter(request.stream())
    while True:
        asked_at = time.monotonic()
        try:
            async with asyncio.timeout(limits.timeout_s + size / limits.bytes_per_s - waited_s):
                part = await anext(parts, None)
        except TimeoutError:
            raise BodyTooSlowError("the body came too slowly") from None
        if part is None:
            return
        waited_s += time.monotonic() - asked_at
        size += len(part)
        if size > limit:
            raise _too_large(limit)
        yield part


def _too_large(limit: int) -> BodyTooLargeError:
    return BodyTooLargeError(f"the body is larger than {limit} bytes")


def parse_json(body: bytes) -> Any:
    """Parse a body; raises MalformedBodyError, or InvalidRequestError naming the field with a NUL or too deep nesting."""
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise MalformedBodyError("the body is not valid JSON in UTF-8") from None
    _check_values(parsed)
    return parsed


def _check_media_type(value: str) -> None:
    media_type, _, parameters = value.partition(";")
    charset = parameters.lower().partition("charset=")[2].strip(' "')
    if media_type.strip().lower() != "application/json" or charset not in _UTF8:
        raise UnsupportedMediaTypeError("send application/json in UTF-8")


def _check_values(parsed: Any) -> None:
    pending: list[tuple[str, int, Any]] = [("body", 0, parsed)]
    while pending:
        path, depth, value = pending.pop()
        if depth > MAX_DEPTH:
            raise MalformedBodyError(f"the body nests deeper than {MAX_DEPTH}")
        if isinstance(value, str):
            _check_text(path, value)
        elif isinstance(value, dict):
            for key, item in value.items():
                _check_text(path, key)
                pending.append((f"{path}.{key}", depth + 1, item))
        elif isinstance(value, list):
            pending += [(f"{path}.{position}", depth + 1, item) for position, item in enumerate(value)]


def _check_text(path: str, value: str) -> None:
    if "\0" in value:
        field = path.removeprefix("body.")[:200].replace("\0", "")
        message = "text must not contain NUL characters"
        raise InvalidRequestError(message, fields=[FieldError(field, "nul_character", message)])
