"""Files in files: archives, mails with attachments. Each becomes a section of the one document."""

import io
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from advanced_rag.config import ParsingSettings
from advanced_rag.file_errors import (
    ArchiveTooDeepError,
    ArchiveTooLargeError,
    CorruptFileError,
    FileError,
    NoTextError,
    TextTooLargeError,
)
from advanced_rag.parsing.detect import extension
from advanced_rag.parsing.draft import Draft, Page, Source, corrupt_if_it_fails, under
from advanced_rag.parsing.unzip import check_ratio, opened_zip, read_member

_GZIP = 16 + zlib.MAX_WBITS
_GZIP_MAGIC = b"\x1f\x8b"
_BLOCK = 1_048_576

Part = tuple[str, Callable[[], bytes]]  # a name, and what unpacks it
ParsePart = Callable[[Source, "Budget"], Draft]


@dataclass(slots=True)
class Budget:
    """What is left of the limits on one file, shared by all that is inside it."""

    settings: ParsingSettings
    members: int
    size: int
    chars: int
    depth: int = 0

    @classmethod
    def of(cls, settings: ParsingSettings) -> "Budget":
        """Return the whole budget of a file."""
        return cls(settings, settings.archive.max_members, settings.archive.max_bytes, settings.max_text_chars)

    def check(self, size: int) -> None:
        """Raise ArchiveTooLargeError where a part of some bytes would be too much."""
        if size > self.size or not self.members:
            raise ArchiveTooLargeError

    def spend(self, data: bytes) -> None:
        """Count a part that came out. Raises ArchiveTooLargeError."""
        self.check(len(data))
        self.members -= 1
        self.size -= len(data)

    def write(self, text: str) -> None:
        """Count text that was found. Raises TextTooLargeError."""
        self.chars -= len(text)
        if self.chars < 0:
            raise TextTooLargeError


def parse_zip(source: Source, budget: Budget, parse: ParsePart) -> Draft:
    """Read all that is in a ZIP."""
    with opened_zip(source, budget.settings.archive) as archive:
        return _draft("application/zip", _unzipped(archive), budget, parse)


def parse_tar(source: Source, budget: Budget, parse: ParsePart) -> Draft:
    """Read all that is in a TAR; links and devices are passed over."""
    with corrupt_if_it_fails(tarfile.TarError), tarfile.open(fileobj=io.BytesIO(source.data), mode="r:") as archive:
        return _draft("application/x-tar", _untarred(archive, budget), budget, parse)


def parse_gzip(source: Source, budget: Budget, parse: ParsePart) -> Draft:
    """Read what was packed by gzip: a TAR, or any one file."""
    inner = Source(_unpacked_name(source.name), _gunzip(source.data, budget))
    if inner.data[257:262] == b"ustar":
        return parse_tar(inner, budget, parse)
    return _draft("application/gzip", [(inner.name, lambda: inner.data)], budget, parse)


def sections(
    parts: Iterable[Part], budget: Budget, parse: ParsePart, *, is_needed: bool = True
) -> tuple[list[Page], list[str]]:
    """Read the parts of a file, each as a section below its name; return them and notes on them.

    A part that cannot be read is left out and noted. When something is needed and nothing can be read, the reason is
    that of the first part. Raises ArchiveTooDeepError, ArchiveTooLargeError, TextTooLargeError.
    """
    if budget.depth >= budget.settings.archive.max_depth:
        raise ArchiveTooDeepError
    budget.depth += 1
    pages: list[Page] = []
    failures: list[FileError] = []
    notes: list[str] = []
    for name, unpack in parts:
        try:
            draft = _section(name, unpack, budget, parse)
        except (ArchiveTooLargeError, TextTooLargeError):
            raise
        except FileError as error:
            failures.append(error)
        else:
            pages.append(Page(under(name, draft.text)))
            notes += draft.notes
    budget.depth -= 1
    if not pages and is_needed:
        raise failures[0] if failures else NoTextError
    return pages, [*notes, *(f"left_out:{error.code}" for error in failures)]


def _draft(media_type: str, parts: Iterable[Part], budget: Budget, parse: ParsePart) -> Draft:
    pages, notes = sections(parts, budget, parse)
    return Draft(media_type, pages, notes=notes)


def _section(name: str, unpack: Callable[[], bytes], budget: Budget, parse: ParsePart) -> Draft:
    data = unpack()
    budget.spend(data)
    depth = budget.depth
    try:
        draft = parse(Source(name, data), budget)
    finally:
        budget.depth = depth
    budget.write(draft.text)
    return draft


def _unzipped(archive: zipfile.ZipFile) -> Iterator[Part]:
    for info in archive.infolist():
        if not info.is_dir() and not info.filename.startswith("__MACOSX/"):
            yield info.filename, partial(read_member, archive, info)


def _untarred(archive: tarfile.TarFile, budget: Budget) -> Iterator[Part]:
    for member in archive:
        if member.isfile():
            budget.check(member.size)  # a sparse file is as large as it says
            yield member.name, partial(_extracted, archive, member)


def _extracted(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    with corrupt_if_it_fails(tarfile.TarError):
        content = archive.extractfile(member)
        return content.read() if content else b""


def _gunzip(data: bytes, budget: Budget) -> bytes:
    """Unpack, looking after each block whether it grows too large."""
    unpacked = bytearray()
    unpacker = zlib.decompressobj(_GZIP)
    rest = data
    with corrupt_if_it_fails(zlib.error):
        while rest:
            unpacked += unpacker.decompress(rest, _BLOCK)
            check_ratio(len(unpacked), len(data), budget.settings.archive)
            rest = unpacker.unconsumed_tail
            if unpacker.eof and unpacker.unused_data.startswith(_GZIP_MAGIC):  # gzip files may follow one another
                rest, unpacker = unpacker.unused_data, zlib.decompressobj(_GZIP)
    if not unpacker.eof:
        raise CorruptFileError
    return bytes(unpacked)


def _unpacked_name(name: str) -> str:
    stem = name[: -len(extension(name)) - 1]
    return f"{stem}.tar" if extension(name) == "tgz" else stem or name
