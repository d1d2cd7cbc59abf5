"""The data directory: held by one process alone, which tells others there by which address it can be asked."""

import fcntl
from pathlib import Path
from typing import IO

from advanced_rag.exceptions import StartupError

_LOCK_FILE = "service.lock"


class DataDirectory:
    """Held by one process alone, as Milvus Lite needs it; raises StartupError."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: IO[str] | None = None

    def __enter__(self) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._file = (self._folder / _LOCK_FILE).open("a+", encoding="utf-8")
        except OSError as error:
            raise StartupError(f"data_dir: {self._folder} cannot be written ({error.strerror})") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise StartupError(f"data_dir: {self._folder} is used by another process of advanced-rag") from None

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.truncate(0)
            self._file.close()


def is_in_use(folder: Path) -> bool:
    """Tell whether a process holds the data directory."""
    try:
        with (folder / _LOCK_FILE).open("r+", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def tell_address(folder: Path, url: str) -> None:
    """Let other processes on the data directory know where the one that holds it serves."""
    (folder / _LOCK_FILE).write_text(url, encoding="utf-8")


def address(folder: Path) -> str | None:
    """Return where the process that holds the data directory serves, if there is one that does."""
    if not is_in_use(folder):
        return None
    return (folder / _LOCK_FILE).read_text(encoding="utf-8").strip() or None
