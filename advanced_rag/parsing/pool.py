"""Processes that read files, so that a hostile file harms nothing but itself."""

import asyncio
import base64
import binascii
import os
import signal
import sys
from pathlib import Path
from typing import Any

import orjson

from advanced_rag.config import ParsingSettings
from advanced_rag.exceptions import OverloadedError
from advanced_rag.file_errors import (
    ParserCrashedError,
    ParserOutOfMemoryError,
    ParserTimeoutError,
    file_error,
)
from advanced_rag.models.parsed import Depth, PageFeatures, PageStart, Parsed

_PASSED_ON = ("PATH", "PYTHONPATH", "LANG", "LC_ALL", "TESSDATA_PREFIX")  # and no secret
_BYTES_PER_CHAR = 4  # at most, in UTF-8; what JSON escapes in clean text takes two
_MAX_REST_BYTES = 16_777_216  # of an answer beside the text: page starts and features; or a page that was drawn
_CHUNK_BYTES = 1_048_576


class ParserPool:
    """Reads files in limited processes, which are started when they are needed."""

    def __init__(self, settings: ParsingSettings) -> None:
        self._settings = settings
        self._turns = asyncio.Semaphore(settings.processes)
        self._idle: list[_Child] = []
        self._busy: set[_Child] = set()
        self._waiting = 0
        self._is_closed = False

    async def parse(self, path: Path, name: str, depth: Depth = "ocr") -> Parsed:
        """Read a file that is called ``name``; cancelling this ends the process that does it.

        Raises FileError when the file cannot be read, OverloadedError when too many wait.
        """
        named = name.encode("utf-8", "replace").decode("utf-8")
        return await asyncio.to_thread(_parsed, await self._ask(_request(path, name=named, depth=depth)))

    async def render(self, path: Path, media_type: str, number: int, longest_side_px: int) -> bytes:
        """Draw a page, from 0, of a file of a type that is drawable; returns a JPEG.

        Raises FileError when the page cannot be drawn, OverloadedError when too many files wait.
        """
        wanted = _request(path, media_type=media_type, page=number, longest_side_px=longest_side_px)
        return await asyncio.to_thread(_drawn, await self._ask(wanted))

    async def _ask(self, request: bytes) -> bytes:
        if self._waiting >= self._settings.queue + self._settings.processes:
            raise OverloadedError("too many files wait to be read")
        self._waiting += 1
        try:
            async with self._turns:
                return await self._answer(request)
        finally:
            self._waiting -= 1

    async def close(self) -> None:
        """End all processes; files they are reading fail."""
        self._is_closed = True
        children = [*self._idle, *self._busy]
        self._idle.clear()
        await asyncio.gather(*(child.kill() for child in children))

    async def _answer(self, request: bytes) -> bytes:
        child = await self._child()
        self._busy.add(child)
        is_sound = False
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                answer = await child.ask(request)
            is_spent = child.files >= self._settings.files_per_process or answer.startswith(_OUT_OF_MEMORY)
            is_sound = not is_spent and not self._is_closed
        except TimeoutError:
            raise ParserTimeoutError from None
        finally:
            self._busy.discard(child)
            if is_sound:
                self._idle.append(child)
            else:
                await child.kill()
        return answer

    async def _child(self) -> "_Child":
        child = self._rested() or await _Child.start(self._settings)
        if self._is_closed:
            await child.kill()
            raise OverloadedError("no more files are read here")
        return child

    def _rested(self) -> "_Child | None":
        """Take a process that waits for work; one that was ended meanwhile is no fault of the next file."""
        while self._idle:
            child = self._idle.pop()
            if child.is_alive:
                return child
        return None


_OUT_OF_MEMORY = orjson.dumps({"error": ParserOutOfMemoryError.code})


class _Child:
    """One process; reads one file at a time."""

    def __init__(self, process: asyncio.subprocess.Process, max_bytes: int) -> None:
        self._process = process
        self._max_bytes = max_bytes
        self._is_killed = False
        self.files = 0

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended, as far as is known."""
        return self._process.returncode is None

    @classmethod
    async def start(cls, settings: ParsingSettings) -> "_Child":
        """Start a process with an empty environment and no open files but its pipes, and send it the settings.

        Raises OverloadedError when the machine has no room for another process.
        """
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "advanced_rag.parsing.child",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env={name: os.environ[name] for name in _PASSED_ON if name in os.environ},
                start_new_session=True,
                limit=_CHUNK_BYTES,
            )
        except OSError as error:
            raise OverloadedError("no process can be started to read files") from error
        child = cls(process, settings.max_text_chars * _BYTES_PER_CHAR + _MAX_REST_BYTES)
        child._send(settings.model_dump_json().encode())
        return child

    async def ask(self, request: bytes) -> bytes:
        """Have a file read; return the answer.

        Raises ParserTimeoutError, ParserOutOfMemoryError, ParserCrashedError when the process dies of it.
        """
        self.files += 1
        try:
            self._send(request)
            answer = await self._line()
        except (BrokenPipeError, ConnectionResetError):
            answer = b""
        return answer or await self._post_mortem()

    async def kill(self) -> None:
        """End the process and wait until it is gone."""
        self._is_killed = True
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()

    def _send(self, line: bytes) -> None:
        if self._process.stdin is not None:
            self._process.stdin.write(line + b"\n")

    async def _line(self) -> bytes:
        """Return the next line, empty when the process ends before it; raises ParserCrashedError for an endless one."""
        line = bytearray()
        while self._process.stdout is not None and not line.endswith(b"\n"):
            block = await self._process.stdout.read(_CHUNK_BYTES)
            line += block
            if len(line) > self._max_bytes:
                raise ParserCrashedError
            if not block:
                return b""
        return bytes(line)

    async def _post_mortem(self) -> bytes:
        """Say why the process died: the kernel ends what computes too long by SIGXCPU, what takes all memory by SIGKILL."""
        await self._process.wait()
        if self._process.returncode == -signal.SIGXCPU:
            raise ParserTimeoutError
        if self._process.returncode == -signal.SIGKILL and not self._is_killed:
            raise ParserOutOfMemoryError
        raise ParserCrashedError


def _request(path: Path, **wanted: str | int) -> bytes:
    return orjson.dumps({"path": str(path.absolute()), **wanted})


def _parsed(answer: bytes) -> Parsed:
    """Make the document, or the error, of an answer; raises ParserCrashedError when it is neither."""
    try:
        found = _content(answer)["parsed"]
        pages = tuple(PageStart(**item) for item in found.pop("pages"))
        features = tuple(PageFeatures(**item) for item in found.pop("features"))
        return Parsed(**found | {"pages": pages, "features": features, "notes": tuple(found["notes"])})
    except (orjson.JSONDecodeError, KeyError, TypeError):
        raise ParserCrashedError from None


def _drawn(answer: bytes) -> bytes:
    """Return the picture, or the error, of an answer; raises ParserCrashedError when it is neither."""
    try:
        return base64.b64decode(_content(answer)["jpeg"], validate=True)
    except (orjson.JSONDecodeError, KeyError, TypeError, binascii.Error):
        raise ParserCrashedError from None


def _content(answer: bytes) -> dict[str, Any]:
    content: dict[str, Any] = orjson.loads(answer)
    if "error" in content:
        raise file_error(content["error"])
    return content
