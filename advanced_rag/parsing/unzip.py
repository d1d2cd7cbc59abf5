"""ZIP packages, checked before anything is unpacked: what they say of themselves, and what comes out."""

import io
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from lxml import etree

from advanced_rag.config import ArchiveSettings
from advanced_rag.file_errors import ArchiveTooLargeError, CorruptFileError, EncryptedFileError, ExternalEntitiesError
from advanced_rag.parsing.draft import Source, corrupt_if_it_fails

MACROS_IGNORED = "macros_ignored"
HARMLESS_BYTES = 1_048_576  # an archive that unpacks to less is no bomb, whatever its ratio
_IS_ENCRYPTED = 1
_XML = (".xml", ".rels", ".vml", ".opf", ".ncx", ".xhtml")
_DECLARATION = re.compile(rb"<!(DOCTYPE|ENTITY)", re.IGNORECASE)
_WIDE_DECLARATION = re.compile(b"|".join("<!DOCTYPE".encode(name) for name in ("utf-16-le", "utf-16-be")))
_TITLE = "{http://purl.org/dc/elements/1.1/}title"


@contextmanager
def opened_zip(source: Source, limits: ArchiveSettings) -> Iterator[zipfile.ZipFile]:
    """Open an archive whose directory stays within the limits.

    Raises ArchiveTooLargeError, CorruptFileError.
    """
    with (
        corrupt_if_it_fails(zipfile.BadZipFile, zlib.error),
        zipfile.ZipFile(io.BytesIO(source.data)) as archive,
    ):
        infos = archive.infolist()
        if len(infos) > limits.max_members:
            raise ArchiveTooLargeError
        check_ratio(sum(info.file_size for info in infos), len(source.data), limits)
        yield archive


def check_ratio(unpacked: int, packed: int, limits: ArchiveSettings) -> None:
    """Raise ArchiveTooLargeError for more bytes than there may be, or than honest packing makes so small."""
    if unpacked > limits.max_bytes or (unpacked > HARMLESS_BYTES and unpacked > limits.max_ratio * max(packed, 1)):
        raise ArchiveTooLargeError


def read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """Unpack one member; no more comes out than the directory said. Raises EncryptedFileError, CorruptFileError."""
    if info.flag_bits & _IS_ENCRYPTED:
        raise EncryptedFileError
    with corrupt_if_it_fails(zipfile.BadZipFile, zlib.error):
        return archive.read(info)


def check_package(source: Source, limits: ArchiveSettings) -> list[str]:
    """Check an office file before a library unpacks it, and return notes on what is in it.

    Office formats never declare entities or document types; whoever does wants to read or to expand something.
    Raises ArchiveTooLargeError, EncryptedFileError, ExternalEntitiesError, CorruptFileError.
    """
    with opened_zip(source, limits) as archive:
        infos = archive.infolist()
        for info in infos:
            if info.filename.endswith(_XML):
                refuse_declarations(read_member(archive, info))
        has_macros = any(info.filename.endswith("vbaProject.bin") for info in infos)
    return [MACROS_IGNORED] if has_macros else []


def refuse_declarations(xml: bytes) -> None:
    """Raise ExternalEntitiesError where XML declares a document type or entities, in whatever encoding."""
    if _DECLARATION.search(xml) or _WIDE_DECLARATION.search(xml):
        raise ExternalEntitiesError


def core_title(source: Source) -> str | None:
    """Return the title in an office file's properties."""
    with corrupt_if_it_fails(zipfile.BadZipFile, zlib.error), zipfile.ZipFile(io.BytesIO(source.data)) as archive:
        if "docProps/core.xml" not in archive.namelist():
            return None
        properties = xml_root(archive.read("docProps/core.xml"))
    return properties.findtext(f".//{_TITLE}") or None


def xml_root(data: bytes) -> etree._Element:
    """Parse XML that declares nothing, without entities and without network.

    Raises ExternalEntitiesError, CorruptFileError.
    """
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True, remove_pis=True)
    with corrupt_if_it_fails(etree.LxmlError):
        root = etree.fromstring(data, parser)
    if root is None:
        raise CorruptFileError
    return root
