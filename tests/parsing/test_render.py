"""Pages become pictures of the size that was asked for; what cannot be drawn is one error of ours."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from advanced_rag.file_errors import UnrenderableError
from advanced_rag.parsing.ocr import MAX_STORED_PIXELS
from advanced_rag.parsing.render import render_image, render_page

WHITE, RED, BLUE = (255, 255, 255), (255, 0, 0), (0, 0, 255)


def opened(jpeg: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(jpeg))
    assert (image.format, image.mode) == ("JPEG", "RGB")
    return image


def colour(jpeg: bytes, x: int, y: int) -> tuple[int, ...]:
    """The colour at a place, rounded as JPEG needs it."""
    return tuple(round(value / 255) * 255 for value in opened(jpeg).getpixel((x, y)))


def save_pdf(path: Path, *sizes: tuple[int, int]) -> Path:
    """A PDF with a blue square at the lower left of each page; sizes in points."""
    pages = [Image.new("RGB", size, WHITE) for size in sizes]
    for page in pages:
        side = min(page.size) // 2
        page.paste(BLUE, (0, page.height - side, side, page.height))
    pages[0].save(path, "PDF", save_all=True, append_images=pages[1:], resolution=72)
    return path


def png_header(width: int, height: int) -> bytes:
    """A PNG that says how large it is, and holds next to nothing."""

    def part(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", header) + part(b"IDAT", zlib.compress(b"\0" * 64)) + part(b"IEND", b"")


@pytest.mark.parametrize(("number", "size"), [(0, (400, 300)), (1, (200, 400))])
def test_a_page_of_a_pdf_is_drawn_with_the_longer_side_that_was_asked_for(tmp_path, number, size):
    drawn = render_page(save_pdf(tmp_path / "two.pdf", (960, 720), (300, 600)), number, 400)
    assert opened(drawn).size == size
    assert colour(drawn, 10, size[1] - 10) == BLUE
    assert colour(drawn, size[0] - 10, 10) == WHITE


def test_what_was_filled_into_a_form_is_drawn(tmp_path):
    blank = render_page(_form(tmp_path / "blank.pdf", ""), 0, 300)
    filled = render_page(_form(tmp_path / "filled.pdf", "XXXXXXXX"), 0, 300)
    assert np.asarray(opened(filled)).mean() < np.asarray(opened(blank)).mean()


def _form(path: Path, value: str) -> Path:
    """A PDF of one text field, written by hand: no library here writes forms."""
    shown = f"/Tx BMC BT /F 20 Tf 2 10 Td ({value}) Tj ET EMC"
    objects = [
        "<</Type/Catalog/Pages 2 0 R/AcroForm<</Fields[4 0 R]/DA(/F 20 Tf)/DR<</Font<</F 5 0 R>>>>>>>>",
        "<</Type/Pages/Kids[3 0 R]/Count 1>>",
        "<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 100]/Annots[4 0 R]>>",
        f"<</Type/Annot/Subtype/Widget/FT/Tx/T(a)/V({value})/F 4/Rect[10 30 190 70]/DA(/F 20 Tf)/P 3 0 R/AP<</N 6 0 R>>>>",
        "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
        f"<</Type/XObject/Subtype/Form/BBox[0 0 180 40]/Resources<</Font<</F 5 0 R>>>>/Length {len(shown)}>>\n"
        f"stream\n{shown}\nendstream",
    ]
    body = "%PDF-1.7\n"
    offsets = []
    for number, text in enumerate(objects, start=1):
        offsets.append(len(body))
        body += f"{number} 0 obj\n{text}\nendobj\n"
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    body += f"xref\n0 7\n0000000000 65535 f \n{table}trailer<</Size 7/Root 1 0 R>>\nstartxref\n{len(body)}\n%%EOF"
    path.write_bytes(body.encode())
    return path


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_a_picture_is_made_smaller_and_never_larger(tmp_path, kind):
    path = tmp_path / "picture"
    Image.new("RGB", (1200, 600), RED).save(path, kind)
    assert opened(render_image(path, 0, 400)).size == (400, 200)
    assert opened(render_image(path.read_bytes(), 0, 4000)).size == (1200, 600)
    assert colour(render_image(path, 0, 400), 200, 100) == RED


def test_each_page_of_a_tiff_is_drawn(tmp_path):
    path = tmp_path / "two.tiff"
    Image.new("RGB", (64, 64), RED).save(path, save_all=True, append_images=[Image.new("RGB", (64, 32), BLUE)])
    assert colour(render_image(path, 0, 64), 5, 5) == RED
    assert colour(render_image(path, 1, 64), 5, 5) == BLUE
    with pytest.raises(UnrenderableError):
        render_image(path, 2, 64)


@pytest.mark.parametrize(
    "image",
    [
        Image.new("RGBA", (32, 32), (0, 0, 0, 0)),
        Image.new("LA", (32, 32), (0, 0)),
        Image.new("1", (32, 32), 1),
        Image.new("I;16", (32, 32), 65_535),
    ],
    ids=lambda image: image.mode,
)
def test_paper_is_white_however_the_picture_is_stored(tmp_path, image):
    image.save(tmp_path / "picture.png")
    assert colour(render_image(tmp_path / "picture.png", 0, 32), 16, 16) == WHITE


def test_a_picture_lying_on_its_side_is_set_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by a quarter
    Image.new("RGB", (80, 40)).save(tmp_path / "turned.jpg", exif=exif)
    assert opened(render_image(tmp_path / "turned.jpg", 0, 80)).size == (40, 80)


@pytest.mark.parametrize("side", [int(MAX_STORED_PIXELS**0.5) + 1, 60_000])
def test_a_picture_that_says_it_is_too_large_is_not_unpacked(side):
    with pytest.raises(UnrenderableError):
        render_image(png_header(side, side), 0, 400)


@pytest.mark.parametrize("data", [b"", b"%PDF-1.7\n", b"GIF89a" + b"\0" * 40, png_header(100, 100), b"\xff\xd8\xff\xe0"])
def test_what_is_damaged_or_another_kind_is_one_error_of_ours(tmp_path, data):
    for render in (render_page, render_image):
        with pytest.raises(UnrenderableError):
            render(data, 0, 400)


def test_a_page_or_a_file_that_is_not_there_is_one_error_of_ours(tmp_path):
    path = save_pdf(tmp_path / "one.pdf", (100, 100))
    for source, number in ((path, 1), (path, -1), (tmp_path / "none.pdf", 0)):
        with pytest.raises(UnrenderableError):
            render_page(source, number, 400)
