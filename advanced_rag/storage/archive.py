"""The file of a backup: a tar of packed members, closed by a manifest that knows the digest of each.

The manifest is written last, and its own digest after it: what was cut short has none, and is no backup.
"""

import gzip
import hashlib
import os
import secrets
import tarfile
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import orjson
from pydantic import BaseModel, ConfigDict

from advanced_rag.exceptions import BackupError
from advanced_rag.storage.rows import Shape

FORMAT = 1
_MANIFEST, _DIGEST = "manifest.json", "manifest.sha256"
_MAX_MANIFEST_BYTES = 64 * 1024 * 1024
_LEVEL = 4


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Member(_Entry):
    """One member: its name in the archive, its size in bytes, its SHA-256, and its rows if it is a table."""

    name: str
    bytes: int
    sha256: str
    rows: int | None = None


class Manifest(_Entry):
    """What a backup holds and where it comes from; ``secret`` tells installations apart and tells nothing of the secret."""

    format: int = FORMAT
    version: str
    revision: str
    made_at: str
    secret: str | None
    tables: list[Shape]
    vectors: list[str]
    members: list[Member]


class ArchiveWriter:
    """Takes members one after the other; ``members`` are those so far."""

    def __init__(self, tar: tarfile.TarFile, folder: Path) -> None:
        self._tar = tar
        self._folder = folder
        self.members: list[Member] = []

    def add_lines(self, name: str, lines: Iterable[bytes]) -> None:
        """Add lines, packed; they wait in a file beside the archive until their size is known."""
        rows = 0
        with tempfile.TemporaryFile(dir=self._folder) as file:
            with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=_LEVEL, mtime=0) as packed:
                for line in lines:
                    packed.write(line)
                    rows += 1
            file.seek(0)
            self.add(name, file, rows)

    def add(self, name: str, file: IO[bytes], rows: int | None = None) -> None:
        """Add what a file holds from where it stands."""
        info = tarfile.TarInfo(name)
        info.size, info.mode, info.mtime = os.fstat(file.fileno()).st_size, 0o600, int(time.time())
        read = _Digested(file)
        self._tar.addfile(info, read)  # type: ignore[arg-type] # it reads, and no more is asked of it
        self.members.append(Member(name=name, bytes=info.size, sha256=read.digest.hexdigest(), rows=rows))

    def close(self, manifest: Manifest) -> None:
        """Write what makes the archive whole."""
        content = manifest.model_dump_json(indent=1).encode()
        for name, text in ((_MANIFEST, content), (_DIGEST, hashlib.sha256(content).hexdigest().encode())):
            with tempfile.TemporaryFile(dir=self._folder) as file:
                file.write(text)
                file.seek(0)
                self.add(name, file)


class _Digested:
    """A file that is digested while it is read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def read(self, size: int) -> bytes:
        """Read at most so many bytes."""
        content = self._file.read(size)
        self.digest.update(content)
        return content


@contextmanager
def writing(path: Path) -> Iterator[ArchiveWriter]:
    """Write an archive that nobody else may read; it has its name once it is whole and on the disk.

    Raises BackupError when there is a file of that name already, or it cannot be written.
    """
    if path.exists():
        raise BackupError(f"{path}: there is such a file already")
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            with tarfile.open(fileobj=file, mode="w") as tar:
                yield ArchiveWriter(tar, path.parent)
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)
        _sync(path.parent)
    except OSError as error:
        raise BackupError(f"{path}: the backup cannot be written ({error})") from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Archive:
    """A backup that was checked: every member is there, once, as it was written."""

    def __init__(self, path: Path, tar: tarfile.TarFile) -> None:
        self._path = path
        self._tar = tar
        self.manifest = self._manifest()
        self._check()

    def lines(self, name: str) -> Iterator[bytes]:
        """Yield the lines of a member."""
        with gzip.open(self.file(name), "rb") as lines:
            yield from lines

    def file(self, name: str) -> IO[bytes]:
        """Open a member as it is."""
        file = self._tar.extractfile(name)
        if file is None:
            raise self._broken(name)
        return file

    def _manifest(self) -> Manifest:
        if self._tar.getmember(_MANIFEST).size > _MAX_MANIFEST_BYTES:
            raise self._broken(_MANIFEST)
        content = self.file(_MANIFEST).read()
        if self.file(_DIGEST).read(256).decode("ascii") != hashlib.sha256(content).hexdigest():
            raise self._broken(_MANIFEST)
        if orjson.loads(content)["format"] != FORMAT:
            raise BackupError(f"{self._path}: made by another version of advanced-rag, in a format this one does not know")
        return Manifest.model_validate_json(content)

    def _check(self) -> None:
        expected = [member.name for member in self.manifest.members] + [_MANIFEST, _DIGEST]
        if self._tar.getnames() != expected or len(set(expected)) < len(expected):
            raise self._broken(_MANIFEST)
        for member in self.manifest.members:
            if hashlib.file_digest(self.file(member.name), "sha256").hexdigest() != member.sha256:  # type: ignore[arg-type]
                raise self._broken(member.name)

    def _broken(self, name: str) -> BackupError:
        return BackupError(f"{self._path}: {name} is not as it was written")


@contextmanager
def reading(path: Path) -> Iterator[Archive]:
    """Open a backup and check all of it; raises BackupError when it is not whole."""
    try:
        tar = tarfile.open(path, "r:")  # noqa: SIM115 - closed below
    except (OSError, tarfile.TarError) as error:
        raise BackupError(f"{path}: cannot be read as a backup ({type(error).__name__})") from error
    with tar:
        try:
            archive = Archive(path, tar)
        except (OSError, tarfile.TarError, EOFError, KeyError, TypeError, ValueError) as error:
            raise BackupError(f"{path}: not a whole backup ({type(error).__name__})") from error
        yield archive
