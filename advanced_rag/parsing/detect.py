"""What a file really is: by its content, and only among kinds of text by its name."""

import io
import re
import struct
import zipfile
from pathlib import PurePosixPath
from typing import Literal

import olefile

from advanced_rag.file_errors import EncryptedFileError, TypeMismatchError, UnsupportedFileTypeError
from advanced_rag.parsing.draft import Source, corrupt_if_it_fails
from advanced_rag.parsing.encoding import wide_encoding

FileType = Literal[
    "pdf", "word", "slides", "sheets", "epub", "outlook", "zip", "tar", "gzip", "image",
    "html", "markdown", "csv", "json", "jsonl", "xml", "mail", "code", "text",
]  # fmt: skip
Family = Literal["pdf", "office", "archive", "image", "text"]

_SIGNATURES: tuple[tuple[bytes, FileType], ...] = (
    (b"\x1f\x8b", "gzip"),
    (b"\x89PNG\r\n\x1a\n", "image"),
    (b"\xff\xd8\xff", "image"),
    (b"II*\x00", "image"),
    (b"MM\x00*", "image"),
)
_PROGRAM = b"MZ"  # and zeros soon after: a text may begin with these letters
_FOREIGN = (b"\x7fELF", b"{\\rtf", b"%!PS", b"7z\xbc\xaf", b"Rar!", b"GIF8", b"BZh", b"\xfd7zXZ", b"SQLite format")
_TEXT_NAMES: dict[FileType, str] = {
    "html": "html htm xhtml",
    "markdown": "md markdown mdown",
    "csv": "csv tsv tab",
    "json": "json geojson ipynb",
    "jsonl": "jsonl ndjson",
    "xml": "xml rss atom",
    "mail": "eml",
    "code": "py js mjs ts tsx jsx java kt scala c h cc cpp hpp cs go rs rb php pl lua r sql sh bash ps1 css yaml yml toml",
    "text": "txt text log",
}
_TEXT_TYPES = {extension: kind for kind, extensions in _TEXT_NAMES.items() for extension in extensions.split()}
_OFFICE_NAMES = "docx docm dotx doc xlsx xlsm xltx xls xlsb ods pptx pptm ppsx ppt odt odp epub msg"
_FAMILIES: dict[str, Family] = {
    "pdf": "pdf",
    **dict.fromkeys(_OFFICE_NAMES.split(), "office"),
    **dict.fromkeys(["zip", "tar", "tgz", "gz"], "archive"),
    **dict.fromkeys(["png", "jpg", "jpeg", "tif", "tiff"], "image"),
    **dict.fromkeys(_TEXT_TYPES, "text"),
}
_FAMILY_OF: dict[FileType, Family] = {
    "pdf": "pdf", "word": "office", "slides": "office", "sheets": "office", "epub": "office", "outlook": "office",
    "zip": "archive", "tar": "archive", "gzip": "archive", "image": "image",
}  # fmt: skip
# Some services call the main part document2.xml: which one it is, relationships say.
_OFFICE_PARTS: tuple[tuple[re.Pattern[str], FileType], ...] = (
    (re.compile(r"word/document\d*\.xml"), "word"),
    (re.compile(r"ppt/presentation\d*\.xml"), "slides"),
    (re.compile(r"xl/workbook\.(xml|bin)"), "sheets"),
    (re.compile(r"META-INF/container\.xml"), "epub"),
)
_PDF = b"%PDF-"
_PDF_WITHIN = 1024  # readers look for the header in the first kilobyte
_PDF_END = b"startxref"
_RECORDS_BYTES = 2048
_FILEPASS = 0x2F
_TAR_MAGIC = slice(257, 262)


def extension(name: str) -> str:
    """Return the extension of a file name, in small letters and without its dot."""
    return PurePosixPath(name.replace("\\", "/")).suffix[1:].lower()


def detect(source: Source) -> FileType:
    """Return the type of a file.

    Raises TypeMismatchError when the name promises another family of types, EncryptedFileError for protected office
    files, UnsupportedFileTypeError for what no parser reads.
    """
    expected = _FAMILIES.get(extension(source.name))
    found = _by_content(source.data)
    if found is None and _is_late_pdf(source.data, expected):
        found = "pdf"
    if found is None and _is_foreign(source.data):
        raise TypeMismatchError if expected else UnsupportedFileTypeError
    family = _FAMILY_OF[found] if found else "text"
    is_zip_by_nature = family == "office" and expected == "archive"
    if expected and family != expected and not is_zip_by_nature:
        raise TypeMismatchError
    return found or _text_type(source)


def _by_content(data: bytes) -> FileType | None:
    if data.startswith(_PDF):
        return "pdf"
    if data.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _type_of_zip(data)
    if data.startswith(olefile.MAGIC):
        return _type_of_ole(data)
    if data[_TAR_MAGIC] == b"ustar":
        return "tar"
    return next((kind for signature, kind in _SIGNATURES if data.startswith(signature)), None)


def _is_late_pdf(data: bytes, expected: Family | None) -> bool:
    """Tell whether a PDF begins after some other bytes; texts speak of its header as well."""
    return _PDF in data[:_PDF_WITHIN] and (expected == "pdf" or (expected is None and _PDF_END in data))


def _type_of_zip(data: bytes) -> FileType:
    with corrupt_if_it_fails(zipfile.BadZipFile), zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = set(archive.namelist())
        mimetype = archive.read("mimetype")[:100] if "mimetype" in names and _is_small(archive, "mimetype") else b""
    if mimetype.startswith(b"application/vnd.oasis.opendocument."):
        return _type_of_open_document(mimetype)
    return next((kind for part, kind in _OFFICE_PARTS if any(map(part.fullmatch, names))), "zip")


def _is_small(archive: zipfile.ZipFile, name: str) -> bool:
    return archive.getinfo(name).file_size < 1000


def _type_of_open_document(mimetype: bytes) -> FileType:
    if mimetype.endswith(b".spreadsheet"):
        return "sheets"
    raise UnsupportedFileTypeError


def _type_of_ole(data: bytes) -> FileType:
    with corrupt_if_it_fails(), olefile.OleFileIO(data) as ole:
        parts = {entry[0].casefold() for entry in ole.listdir(streams=True, storages=False)}
        workbook = ole.openstream("Workbook").read(_RECORDS_BYTES) if "workbook" in parts else b""
    if parts & {"encryptedpackage", "encryptioninfo", "\x06dataspaces", "\tdrmcontent"} or _asks_for_password(workbook):
        raise EncryptedFileError
    if workbook or "book" in parts:
        return "sheets"
    if "__properties_version1.0" in parts:
        return "outlook"
    raise UnsupportedFileTypeError


def _asks_for_password(workbook: bytes) -> bool:
    """Look for the record FILEPASS, which stands among the first of a workbook ([MS-XLS])."""
    position = 0
    while position + 4 <= len(workbook):
        kind, size = struct.unpack_from("<HH", workbook, position)
        if kind == _FILEPASS:
            return True
        position += 4 + size
    return False


def _is_foreign(data: bytes) -> bool:
    """Tell whether bytes are no text, as far as signatures and control characters show."""
    if data.startswith(_FOREIGN) or (data.startswith(_PROGRAM) and b"\0" in data[:64]):
        return True
    if wide_encoding(data):
        return False
    sample = data[:4096]
    controls = len(re.findall(rb"[\x01-\x08\x0e-\x1a\x1c-\x1f]", sample))
    return controls * 20 > len(sample)


def _text_type(source: Source) -> FileType:
    named = _TEXT_TYPES.get(extension(source.name))
    if named:
        return named
    start = source.data[:1000].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "html"
    if start.startswith(b"<?xml"):
        return "xml"
    return "text"
