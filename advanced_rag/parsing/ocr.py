"""Text in pictures, read by Tesseract where tesserocr and the data of the languages are installed."""

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

from PIL import Image, ImageSequence

from advanced_rag.config import OcrSettings, ParsingSettings
from advanced_rag.file_errors import OcrUnavailableError, TooManyPagesError, UnrenderableError
from advanced_rag.models.parsed import OCR_UNAVAILABLE, PageFeatures
from advanced_rag.parsing.draft import Draft, Page, Source, corrupt_if_it_fails
from advanced_rag.parsing.lines import to_markdown

OCR_STOPPED = "ocr_page_limit"
MAX_PIXELS = 25_000_000  # of a page that is read: A3 at 300 dpi is 17 million
MAX_STORED_PIXELS = 50_000_000  # of a picture as it comes: A4 at 600 dpi is 35 million, telephones take 48 million
_DATA_DIRS = ("/usr/share/tesseract-ocr/5/tessdata", "/usr/share/tessdata", "/usr/local/share/tessdata")
_FORMATS = ("PNG", "JPEG", "TIFF")

Reader = Callable[[Image.Image], str]


@contextmanager
def opened_reader(settings: OcrSettings) -> Iterator[Reader]:
    """Load the languages and give what reads pictures.

    Raises OcrUnavailableError when it is switched off, not installed, or lacks a language.
    """
    folder = languages_dir(settings)
    if folder is None:
        raise OcrUnavailableError
    os.environ["OMP_THREAD_LIMIT"] = "1"  # threads of one page wait for one another more than they help
    try:
        import tesserocr  # noqa: PLC0415 - an optional dependency
    except ImportError:
        raise OcrUnavailableError from None
    with tesserocr.PyTessBaseAPI(path=str(folder), lang="+".join(settings.languages)) as engine:

        def read(picture: Image.Image) -> str:
            engine.SetImage(picture)
            return str(engine.GetUTF8Text())

        yield read


def parse_image(source: Source, settings: ParsingSettings) -> Draft:
    """Read a picture, or each picture of a TIFF; where that is not possible, or not for all, say so in a note.

    Raises CorruptFileError, TooManyPagesError, UnrenderableError for a picture that is too large.
    """
    with _opened(source.data) as image:
        frames = getattr(image, "n_frames", 1)
        media_type = Image.MIME[image.format or "TIFF"]
        if frames > settings.max_pages:
            raise TooManyPagesError
        texts = _recognised(image, settings.ocr)
    stopped = [OCR_STOPPED] if len(texts) < frames else []
    notes = stopped if texts else [OCR_UNAVAILABLE]
    texts += [""] * (frames - len(texts))
    pages = [Page(text, PageFeatures(len(text), image_share=1.0, is_recognised=True)) for text in texts]
    return Draft(media_type, pages, is_paged=frames > 1, notes=notes)


def _recognised(image: Image.Image, settings: OcrSettings) -> list[str]:
    """Return the text of each picture, up to the limit; nothing where there is no recognition."""
    try:
        with opened_reader(settings) as reader:
            frames = islice(ImageSequence.Iterator(image), settings.max_pages)
            return [to_markdown(reader(_gray(frame)), {}) for frame in frames]
    except OcrUnavailableError:
        return []


@contextmanager
def _opened(data: bytes) -> Iterator[Image.Image]:
    try:
        with corrupt_if_it_fails(), Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            yield image
    except Image.DecompressionBombError:
        raise UnrenderableError from None


def _gray(frame: Image.Image) -> Image.Image:
    pixels = frame.width * frame.height
    if pixels > MAX_STORED_PIXELS:
        raise UnrenderableError
    gray = frame.convert("L")
    return gray.reduce(2) if pixels > MAX_PIXELS else gray


def is_available(settings: OcrSettings) -> bool:
    """Tell whether pictures can be read here."""
    return languages_dir(settings) is not None and find_spec("tesserocr") is not None


def languages_dir(settings: OcrSettings) -> Path | None:
    """Return the folder that holds the data of every language, None where there is none."""
    if not settings.enabled:
        return None
    named = settings.data_dir or os.environ.get("TESSDATA_PREFIX")
    folders = [Path(named)] if named else [Path(folder) for folder in _DATA_DIRS]
    names = [f"{language}.traineddata" for language in settings.languages]
    return next((folder for folder in folders if all((folder / name).is_file() for name in names)), None)
