"""A TCP proxy that breaks what goes through it, in a thread of its own."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from tests.support.service import free_port

_CHUNK = 65_536


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to connections: refused, reset, cut after some bytes of an answer, silent or slow (seconds a chunk)."""

    refuse: bool = False
    reset: bool = False
    cut_after: int | None = None
    silent: bool = False
    delay_s: float = 0.0


FINE = Fault()


class FaultProxy:
    """Passes connections on to the port ``target``; ``fault`` breaks those there are and those to come."""

    def __init__(self, target: int) -> None:
        self.port = free_port()
        self.target = target
        self._fault = FINE
        self._loop = asyncio.new_event_loop()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> "FaultProxy":
        self._thread.start()
        self._wait_for(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._wait_for(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @contextmanager
    def fault(self, fault: Fault) -> Iterator[None]:
        """Break everything that goes through while the block runs."""
        self._wait_for(self._change(fault))
        try:
            yield
        finally:
            self._wait_for(self._change(FINE))

    def _wait_for(self, work: object) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _change(self, fault: Fault) -> None:
        was_silent, self._fault = self._fault.silent, fault
        if fault.refuse or fault.reset or was_silent:
            self._reset_all()
        if fault.refuse:
            await self._stop_listening()
        elif self._server is None:
            await self._listen()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", self.port)

    async def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _close(self) -> None:
        await self._stop_listening()
        self._reset_all()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _reset_all(self) -> None:
        for writer in self._writers:
            _reset(writer)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            _reset(writer)
            return
        self._writers |= {writer, far_writer}
        try:
            await asyncio.gather(self._pass(reader, far_writer), self._pass(far_reader, writer, is_answer=True))
        except asyncio.CancelledError:
            return  # the proxy is being closed; asyncio's streams would report a cancelled connection as a fault
        finally:
            self._writers -= {writer, far_writer}
            writer.close()
            far_writer.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_answer: bool = False) -> None:
        with suppress(OSError):
            while data := await reader.read(_CHUNK):
                await asyncio.sleep(self._fault.delay_s)
                if self._fault.reset:
                    _reset(writer)
                elif self._fault.cut_after is not None and is_answer:
                    writer.write(data[: self._fault.cut_after])
                    _reset(writer)
                elif not (self._fault.silent and is_answer):
                    writer.write(data)
                    await writer.drain()
        writer.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    if connection is not None:
        with suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    writer.transport.abort()
