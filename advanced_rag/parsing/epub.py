"""EPUB: the chapters of a book in the order of its spine."""

import posixpath
import zipfile
from urllib.parse import unquote

from lxml import etree

from advanced_rag.config import ParsingSettings
from advanced_rag.file_errors import CorruptFileError, TooManyPagesError
from advanced_rag.parsing.draft import Draft, Page, Source, corrupt_if_it_fails
from advanced_rag.parsing.plain import decode
from advanced_rag.parsing.unzip import opened_zip, read_member, xml_root
from advanced_rag.parsing.webpage import to_markdown

_TITLE = ".//{http://purl.org/dc/elements/1.1/}title"


def parse_epub(source: Source, settings: ParsingSettings) -> Draft:
    """Read a book. Raises ArchiveTooLargeError, EncryptedFileError, CorruptFileError, TooManyPagesError."""
    with opened_zip(source, settings.archive) as archive, corrupt_if_it_fails(etree.LxmlError):
        container = xml_root(_member(archive, "META-INF/container.xml"))
        opf = str(container.find(".//{*}rootfile").get("full-path"))
        package = xml_root(_member(archive, opf))
        chapters = _chapters(package, posixpath.dirname(opf))
        if len(chapters) > settings.max_pages:
            raise TooManyPagesError
        texts = [to_markdown(decode(_member(archive, name))[0]) for name in chapters]
    return Draft("application/epub+zip", [Page(text) for text in texts], title=package.findtext(_TITLE))


def _chapters(package: etree._Element, folder: str) -> list[str]:
    files = {item.get("id"): item.get("href") for item in package.iterfind(".//{*}manifest/{*}item")}
    order = [files.get(item.get("idref")) for item in package.iterfind(".//{*}spine/{*}itemref")]
    return [posixpath.normpath(posixpath.join(folder, unquote(name))) for name in order if name]


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    if name not in archive.namelist():
        raise CorruptFileError
    return read_member(archive, archive.getinfo(name))
