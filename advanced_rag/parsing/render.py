"""Pages as pictures, for encoders that look at them.

Everything here reads files of strangers with C libraries, and PDFium is not safe with threads: it must run in the parser's
limited process, which bounds time and memory. What comes back is JPEG, whatever the file was.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pypdfium2
from PIL import Image, ImageOps, UnidentifiedImageError

from advanced_rag.file_errors import UnrenderableError
from advanced_rag.parsing.ocr import MAX_STORED_PIXELS

_IMAGE_FORMATS = ("PNG", "JPEG", "TIFF")
_QUALITY = 90
_WHITE = (255, 255, 255)


def render_page(source: Path | bytes, number: int, longest_side_px: int) -> bytes:
    """Return a page of a PDF, from 0, as JPEG. Raises UnrenderableError for a file or a page that cannot be drawn."""
    with _translated(), pypdfium2.PdfDocument(source) as document:
        document.init_forms()  # or what was filled in is not drawn
        page = document[number]
        width, height = page.get_size()
        scale = longest_side_px / max(width, height)
        return _as_jpeg(page.render(scale=scale).to_pil(), longest_side_px)


def render_image(source: Path | bytes, number: int, longest_side_px: int) -> bytes:
    """Return a PNG, a JPEG, or a page of a TIFF, from 0, as JPEG; it is never enlarged. Raises UnrenderableError.

    The size a file says it has is looked at before anything is unpacked.
    """
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    with _translated(), Image.open(file, formats=_IMAGE_FORMATS) as image:
        image.seek(number)
        if image.width * image.height > MAX_STORED_PIXELS:
            raise UnrenderableError
        image.draft("RGB", (longest_side_px, longest_side_px))  # a JPEG is unpacked at the size that is needed
        return _as_jpeg(ImageOps.exif_transpose(image), longest_side_px)


def _as_jpeg(image: Image.Image, longest_side_px: int) -> bytes:
    flat = _flattened(image)
    flat.thumbnail((longest_side_px, longest_side_px))
    written = io.BytesIO()
    flat.save(written, "JPEG", quality=_QUALITY, subsampling=0)  # thin coloured lines stay
    return written.getvalue()


def _flattened(image: Image.Image) -> Image.Image:
    """Return a picture in colours of 8 bits; what can be seen through is white, as paper is."""
    if image.mode.startswith("I"):
        return image.point(lambda value: value / 256).convert("L").convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    above = image.convert("RGBA")
    paper = Image.new("RGB", image.size, _WHITE)
    paper.paste(above, mask=above.getchannel("A"))
    return paper


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (
        pypdfium2.PdfiumError,
        UnidentifiedImageError,
        Image.DecompressionBombError,
        Image.DecompressionBombWarning,
        OSError,
        EOFError,
        IndexError,
        ValueError,
        SyntaxError,  # what Pillow says of a broken PNG
        ZeroDivisionError,
    ):
        raise UnrenderableError from None
