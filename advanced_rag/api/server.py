"""The HTTP server: patient with its own work, impatient with clients that dawdle; it ends in good order."""

import asyncio
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from advanced_rag.config import ServerSettings
from advanced_rag.exceptions import StartupError

BACKLOG = 2048


def bind(host: str, port: int) -> socket.socket:
    """Take a port; nobody can connect to it before ``listen(BACKLOG)`` is called on it. Raises StartupError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise StartupError(f"server.port: {host}:{port} cannot be used ({error.strerror})") from None
    return listener


_MAX_MESSAGE_BYTES = 65_536


class Server(uvicorn.Server):
    """Ends on SIGTERM or Ctrl-C with status 0, once every request in work is answered.

    It tells ``on_exit`` first and goes on accepting for ``shutdown_delay_s``, so that balancers learn of it; a second signal
    makes that short.
    """

    def __init__(self, app: FastAPI, settings: ServerSettings, on_exit: Callable[[], None]) -> None:
        super().__init__(_config(app, settings))
        self._on_exit = on_exit
        self._delay_s = settings.shutdown_delay_s
        self._is_told = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end."""
        if self._is_told or not self._delay_s:
            super().handle_exit(sig, frame)
        else:
            asyncio.get_running_loop().call_later(self._delay_s, super().handle_exit, sig, frame)
        self._is_told = True
        self._on_exit()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals in the loop; uvicorn itself would raise them again at the end, and not exit with 0."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)


def _config(app: FastAPI, settings: ServerSettings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=partial(_Connection, limits=settings),  # type: ignore[arg-type]  # it is only ever called
        ws="websockets-sansio",
        ws_max_size=_MAX_MESSAGE_BYTES,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=settings.trusted_proxies,
        timeout_graceful_shutdown=int(settings.shutdown_timeout_s),
    )


class _Connection(HttpToolsProtocol):
    """Hangs up on a client that sends its headers too slowly, too many of them, or does not read what it asked for."""

    def __init__(self, *, limits: ServerSettings, **options: Any) -> None:
        super().__init__(**options)
        self._limits = limits
        self._header_bytes = 0
        self._header_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timers()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._header_timer is not None:
            self._header_bytes += len(data)
        super().data_received(data)
        if self._header_timer is not None and self._header_bytes > self._limits.max_header_bytes:
            self._refuse(b"431 Request Header Fields Too Large")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._header_timer is None:
            self._expect_headers()

    def on_headers_complete(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None
        super().on_headers_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._write_timer = self.loop.call_later(self._limits.write_timeout_s, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._write_timer is not None:
            self._write_timer.cancel()

    def _expect_headers(self) -> None:
        self._header_bytes = 0
        self._header_timer = self.loop.call_later(self._limits.header_timeout_s, self._refuse, b"408 Request Timeout")

    def _refuse(self, status: bytes) -> None:
        self._stop_timers()
        if not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 " + status + b"\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
            self.transport.close()

    def _stop_timers(self) -> None:
        for timer in (self._header_timer, self._write_timer):
            if timer is not None:
                timer.cancel()
        self._header_timer = None
