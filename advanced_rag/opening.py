"""Opens the container, and goes on trying while something it needs elsewhere is down."""

import asyncio
import ctypes
import gc
import sys
from contextlib import AsyncExitStack, suppress

from advanced_rag.config import Settings
from advanced_rag.container import Announce, Container, open_container
from advanced_rag.data_directory import DataDirectory
from advanced_rag.exceptions import RagError, StartingError, UnavailableError
from advanced_rag.telemetry.logs import get_logger

_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 5.0
_M_ARENA_MAX, _ARENAS = -8, 2  # malloc.h
_SWITCH_S = 0.0005  # a question changes threads ten times, and would wait ten times as long for those that cut documents up
_log = get_logger(__name__)


class Opening:
    """Holds the data directory, for this process alone where it ``is_alone``, and the container once it is open.

    Entering raises StartupError for what is missing or wrong, UnavailableError for what does not answer. One that ``waits``
    goes on trying in the background instead, where that is elsewhere: in this process it would never come back. One that is
    ``reindexing`` opens although what is live cannot be searched here.
    """

    def __init__(
        self,
        settings: Settings,
        announce: Announce = lambda _: None,
        *,
        waits: bool = False,
        is_alone: bool = True,
        reindexing: bool = False,
    ) -> None:
        self._settings = settings
        self._is_alone = is_alone
        self._reindexing = reindexing
        self._announce = announce
        self._waits = waits and not settings.is_embedded
        self._stack = AsyncExitStack()
        self._opened: Container | None = None
        self._trying: asyncio.Task[None] | None = None
        self._told = ""

    @property
    def is_open(self) -> bool:
        """Whether the container is there."""
        return self._opened is not None

    @property
    def container(self) -> Container:
        """The container; raises StartingError until it is open."""
        if self._opened is None:
            raise StartingError("the service is starting: something it needs does not answer yet")
        return self._opened

    def drain(self) -> None:
        """Say from now on that the service is not ready: it is about to stop."""
        if self._opened is not None:
            self._opened.health.drain()

    async def __aenter__(self) -> "Opening":
        """Open the container, or begin to wait for what it needs."""
        _share_arenas()
        sys.setswitchinterval(_SWITCH_S)
        async with self._stack:
            if self._is_alone:
                self._stack.enter_context(DataDirectory(self._settings.data_dir))
            try:
                await self._open()
            except UnavailableError as error:
                if not self._waits:
                    raise
                self._note(error)
                self._trying = asyncio.create_task(self._try_again())
            self._stack = self._stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close what is open."""
        if self._trying is not None:
            self._trying.cancel()
            with suppress(asyncio.CancelledError):
                await self._trying
        await self._stack.aclose()

    async def _open(self) -> None:
        # Beside others it is a worker: it sees no retrieval, and cannot know what reindexing does to it.
        serves, reindexing = self._is_alone, self._reindexing
        opening = open_container(self._settings, self._announce, serves=serves, reindexing=reindexing)
        self._opened = await self._stack.enter_async_context(opening)

    async def _try_again(self) -> None:
        wait_s = _FIRST_WAIT_S
        while not self.is_open:
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
            try:
                await self._open()
            except RagError as error:
                self._note(error)
            except Exception as error:  # noqa: BLE001 - the outermost loop: a fault is logged, and the next try may go well
                _log.error("unexpected_error", error_type=type(error).__name__, exc_info=error)
        self._announce("everything answers: ready")
        keep_what_is_loaded()

    def _note(self, error: RagError) -> None:
        if error.message != self._told:
            _log.warning("waiting", code=error.code)
            self._announce(f"waiting: {error.message}")
        self._told = error.message


def _share_arenas() -> None:
    # Left alone, glibc gives each thread memory of its own and keeps what was freed there: measured, the service would go on
    # growing for half an hour. Other C libraries know nothing of it.
    limit = getattr(ctypes.CDLL(None), "mallopt", None)
    if limit is not None:
        limit(_M_ARENA_MAX, _ARENAS)


def keep_what_is_loaded() -> None:
    """Tell the garbage collector that what start-up made stays: walking all of it holds up every request for a while."""
    gc.collect()
    gc.freeze()
