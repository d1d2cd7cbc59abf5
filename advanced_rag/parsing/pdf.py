"""PDF: text in reading order, bookmarks as headings, and what each page is made of."""

import ctypes
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice

import pypdfium2
import pypdfium2.raw as pdfium
from PIL import Image

from advanced_rag.config import OcrSettings, ParsingSettings
from advanced_rag.file_errors import (
    CorruptFileError,
    EncryptedFileError,
    OcrUnavailableError,
    TooManyPagesError,
)
from advanced_rag.models.parsed import OCR_UNAVAILABLE, PageFeatures
from advanced_rag.parsing.classify import PICTURED, measure
from advanced_rag.parsing.draft import Draft, Page, Source, corrupt_if_it_fails
from advanced_rag.parsing.lines import title_key, to_markdown
from advanced_rag.parsing.ocr import MAX_PIXELS, OCR_STOPPED, opened_reader

PAGES_UNREADABLE = "unreadable_pages"
FEW_CHARS = 40  # letters and digits; a stamp or a page number on a scan
_OBJECTS = 3000  # looked at on one page; drawings may have a million
_BOOKMARKS = 5000
_POINTS_PER_INCH = 72


@dataclass(frozen=True, slots=True)
class _Content:
    """The text of a page as it stands there, how much of it pictures cover, and whether anything is drawn on it."""

    text: str
    image_share: float
    is_landscape: bool
    is_drawn: bool

    @property
    def is_picture(self) -> bool:
        """Whether there is something to see and nothing to read but a page number or a stamp."""
        readable = sum(map(str.isalnum, self.text))
        return self.is_drawn and (not readable or (readable < FEW_CHARS and self.image_share >= PICTURED))


def parse_pdf(source: Source, settings: ParsingSettings) -> Draft:
    """Read a PDF; pages that are pictures are recognised where that is possible.

    Raises EncryptedFileError, CorruptFileError, TooManyPagesError.
    """
    with _opened(source.data) as document, corrupt_if_it_fails(pypdfium2.PdfiumError):
        if len(document) > settings.max_pages:
            raise TooManyPagesError
        titles = _bookmarks(document)
        notes: list[str] = []
        contents = [_content(document, number, notes) for number in range(len(document))]
        pages = [_page(content, titles[number]) for number, content in enumerate(contents)]
        pictures = [number for number, content in enumerate(contents) if content.is_picture]
        if pictures:
            notes += _recognise(document, pages, pictures, settings.ocr)
        title = document.get_metadata_value("Title")
    return Draft("application/pdf", pages, title=title, is_paged=True, notes=notes)


@contextmanager
def _opened(data: bytes) -> Iterator[pypdfium2.PdfDocument]:
    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        is_locked = error.err_code in {pdfium.FPDF_ERR_PASSWORD, pdfium.FPDF_ERR_SECURITY}
        raise (EncryptedFileError if is_locked else CorruptFileError) from None
    try:
        yield document
    finally:
        document.close()


def _bookmarks(document: pypdfium2.PdfDocument) -> defaultdict[int, dict[str, int]]:
    """Return the titles of the outline and their levels, by the page they lead to."""
    titles: defaultdict[int, dict[str, int]] = defaultdict(dict)
    for bookmark in islice(document.get_toc(), _BOOKMARKS):
        target = bookmark.get_dest()
        number = target.get_index() if target else None
        key = title_key(bookmark.get_title())
        if number is not None and key:
            titles[number].setdefault(key, min(bookmark.level + 1, 6))
    return titles


def _content(document: pypdfium2.PdfDocument, number: int, notes: list[str]) -> _Content:
    """Read a page; one that is broken is left out, and noted."""
    try:
        page = document[number]
    except pypdfium2.PdfiumError:
        notes.append(PAGES_UNREADABLE)
        return _Content("", 0.0, is_landscape=False, is_drawn=False)
    try:
        text = page.get_textpage().get_text_range()
        width, height = page.get_size()
        count = pdfium.FPDFPage_CountObjects(page)
        return _Content(text, _image_share(page, count, width * height), width > height, count > 0)
    finally:
        page.close()


def _image_share(page: pypdfium2.PdfPage, count: int, area: float) -> float:
    covered = 0.0
    left, bottom, right, top = (ctypes.c_float() for _ in range(4))
    for index in range(min(count, _OBJECTS)):
        item = pdfium.FPDFPage_GetObject(page, index)
        if pdfium.FPDFPageObj_GetType(item) == pdfium.FPDF_PAGEOBJ_IMAGE and pdfium.FPDFPageObj_GetBounds(
            item, left, bottom, right, top
        ):
            covered += abs((right.value - left.value) * (top.value - bottom.value))
    return min(covered / area, 1.0) if area else 0.0


def _page(content: _Content, titles: dict[str, int]) -> Page:
    text = to_markdown(content.text, titles)
    return Page(text, _features(text, content))


def _features(text: str, content: _Content) -> PageFeatures:
    return replace(
        measure(text),
        image_share=content.image_share,
        is_landscape=content.is_landscape,
        is_recognised=content.is_picture and not text,
    )


def _recognise(document: pypdfium2.PdfDocument, pages: list[Page], pictures: list[int], settings: OcrSettings) -> list[str]:
    """Put recognised text in the place of pages that are pictures, and return notes."""
    try:
        with opened_reader(settings) as reader:
            for number in pictures[: settings.max_pages]:
                pages[number] = _recognised(pages[number], reader(_rendered(document, number, settings.dpi)))
    except OcrUnavailableError:
        return [OCR_UNAVAILABLE]
    return [OCR_STOPPED] if len(pictures) > settings.max_pages else []


def _recognised(page: Page, text: str) -> Page:
    """Return the page with recognised text, unless what stood there says more."""
    found = to_markdown(text, {})
    if len(found) <= len(page.text) or page.features is None:
        return page
    return Page(found, replace(page.features, characters=len(found), is_recognised=True))


def _rendered(document: pypdfium2.PdfDocument, number: int, dpi: int) -> Image.Image:
    page = document[number]
    try:
        width, height = page.get_size()
        scale = min(dpi / _POINTS_PER_INCH, (MAX_PIXELS / max(width * height, 1)) ** 0.5)
        image: Image.Image = page.render(scale=scale, grayscale=True).to_pil()
        return image
    finally:
        page.close()
