"""Uploaded files, on disk until their job has ended. Each is named by its job; what a client calls it is never a path."""

import hashlib
import os
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from anyio import open_file, to_thread

from advanced_rag.exceptions import FileMissingError, FileStoreError
from advanced_rag.models.documents import TenantId

T = TypeVar("T")

_JOB_ID = re.compile(r"[0-9a-f-]{36}\Z")
_TENANT = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
_PART = ".part"


@dataclass(frozen=True, slots=True)
class StoredFile:
    """How large a file is, in bytes, and its SHA-256."""

    bytes: int
    sha256: str


class FileStore:
    """A folder that every process of an installation sees."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, tenant: TenantId, job_id: str) -> Path:
        """Return where the file of a job is, or would be."""
        if not _JOB_ID.match(job_id) or not _TENANT.match(tenant):
            raise ValueError("not the name of a file of ours")
        return self._folder / tenant / job_id

    def find(self, tenant: TenantId, job_id: str) -> Path:
        """Return where the file of a job is; raises FileMissingError, FileStoreError when it cannot be read."""
        path = self.path(tenant, job_id)
        try:
            path.open("rb").close()
        except FileNotFoundError:
            raise FileMissingError("the file is not in the folder of uploaded files") from None
        except OSError as error:
            raise FileStoreError("the file cannot be read") from error
        return path

    async def save(self, tenant: TenantId, job_id: str, parts: AsyncIterator[bytes]) -> StoredFile:
        """Write a file as it comes; it is there whole, and on the disk, or not at all. Raises FileStoreError."""

        async def write(path: Path) -> None:
            async with await open_file(path, "xb") as file:
                async for part in parts:
                    await file.write(part)

        stored, _ = await self.keep(tenant, job_id, write)
        return stored

    async def keep(self, tenant: TenantId, job_id: str, write: Callable[[Path], Awaitable[T]]) -> tuple[StoredFile, T]:
        """Let somebody write a file; returns what it is and what he says. Raises FileStoreError, and what he raises."""
        path = self.path(tenant, job_id)
        unfinished = path.with_name(path.name + _PART)
        try:
            await to_thread.run_sync(lambda: path.parent.mkdir(parents=True, exist_ok=True))
            said = await write(unfinished)
            return await to_thread.run_sync(_settle, unfinished, path), said
        except OSError as error:
            raise FileStoreError("the file cannot be stored") from error
        finally:
            with suppress(OSError):
                unfinished.unlink(missing_ok=True)

    def remove(self, tenant: TenantId, job_id: str) -> None:
        """Delete the file of a job, if there is one, and what a crash left of writing it."""
        path = self.path(tenant, job_id)
        for file in (path, path.with_name(path.name + _PART)):
            with suppress(OSError):
                file.unlink(missing_ok=True)

    def left(self, older_than_s: float) -> Iterator[tuple[TenantId, str]]:
        """Yield our files that have been there for long: some may have lost their job in a crash."""
        limit = time.time() - older_than_s
        for path in self._folder.glob("*/*"):
            tenant, job_id = path.parent.name, path.name.removesuffix(_PART)
            with suppress(OSError):
                if _TENANT.match(tenant) and _JOB_ID.match(job_id) and path.stat().st_mtime < limit:
                    yield TenantId(tenant), job_id


def _settle(unfinished: Path, path: Path) -> StoredFile:
    """Give a file that is written its name, once it is on the disk."""
    with unfinished.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        size = file.tell()
        os.fsync(file.fileno())
    unfinished.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return StoredFile(size, digest)
