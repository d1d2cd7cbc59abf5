"""Text in pictures: read where Tesseract is installed, and a clear word where it is not."""

import io
import sys
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image

from advanced_rag.config import OcrSettings, ParsingSettings
from advanced_rag.parsing.draft import Source
from advanced_rag.parsing.ocr import is_available
from advanced_rag.parsing.parse import parse
from tests.support.files import make_image, make_pdf, make_scan, make_zip

OFF = {"ocr": {"enabled": False}}
needs_tesseract = pytest.mark.skipif(
    not is_available(OcrSettings()), reason="tesserocr or its language data is not installed"
)


@pytest.fixture
def looked():
    return lambda data, name: parse(Source(name, data), ParsingSettings(), "look")


def words(text: str) -> str:
    return " ".join(text.split()).lower()


def test_without_recognition_a_scan_is_refused(refusal):
    assert refusal(make_scan(["Travel rules"]), "scan.pdf", **OFF) == "ocr_unavailable"
    assert refusal(make_image("Travel rules", "PNG"), "scan.png", **OFF) == "ocr_unavailable"


def test_without_recognition_the_text_of_the_other_pages_stands(parsed):
    found = parsed(make_scan(["Travel rules"], text_on_first="Seen at once."), "scan.pdf", **OFF)
    assert found.text.strip() == "Seen at once."
    assert found.notes == ("ocr_unavailable",)
    assert len(found.pages) == 2


def test_a_language_without_data_is_no_recognition(refusal, tmp_path):
    settings = {"ocr": {"languages": ["xyz"], "data_dir": str(tmp_path)}}
    assert refusal(make_image("Travel rules", "PNG"), "scan.png", **settings) == "ocr_unavailable"


@pytest.mark.parametrize(
    ("data", "name", "text", "kind"),
    [
        (make_scan(["Travel rules"]), "scan.pdf", "", "scanned"),
        (make_image("Travel rules", "TIFF"), "scan.tiff", "", "scanned"),
        (make_scan(["Travel rules"], text_on_first="Seen at once."), "half.pdf", "Seen at once.", "scanned"),
        (make_zip({"scan.pdf": make_scan(["Travel rules"])}), "scans.zip", "# scan.pdf", "text"),
    ],
    ids=["scan", "picture", "half", "archive"],
)
def test_a_look_tells_that_there_are_pictures_to_read(looked, data, name, text, kind):
    found = looked(data, name)
    assert (found.text.strip(), found.kind, found.has_unread) == (text, kind, True)


def test_a_look_at_a_file_of_text_is_all_there_is_to_read(looked, parsed):
    data = make_pdf([("One", "first page")])
    assert looked(data, "one.pdf") == parsed(data, "one.pdf")
    assert not looked(data, "one.pdf").has_unread


class SizeReader:
    """Reads of every picture how large it is."""

    def __init__(self, path: str, lang: str) -> None:
        self._picture = Image.new("L", (1, 1))

    def __enter__(self) -> "SizeReader":
        return self

    def __exit__(self, *_: object) -> None: ...

    def SetImage(self, picture: Image.Image) -> None:  # noqa: N802 - as Tesseract calls it
        self._picture = picture

    def GetUTF8Text(self) -> str:  # noqa: N802 - as Tesseract calls it
        return "size {}x{}".format(*self._picture.size)


@pytest.fixture
def sizes(monkeypatch, tmp_path: Path) -> dict[str, object]:
    """Settings by which pictures are read by what tells their size."""
    module = ModuleType("tesserocr")
    module.PyTessBaseAPI = SizeReader
    monkeypatch.setitem(sys.modules, "tesserocr", module)
    (tmp_path / "eng.traineddata").touch()
    return {"data_dir": str(tmp_path)}


def pictures(*sizes: tuple[int, int]) -> bytes:
    first, *others = [Image.new("1", size) for size in sizes]
    written = io.BytesIO()
    first.save(written, "TIFF", save_all=True, append_images=others, compression="group4")
    return written.getvalue()


def test_of_a_tiff_as_many_pictures_are_read_as_of_a_pdf(parsed, sizes):
    found = parsed(pictures((30, 30), (40, 40), (50, 50)), "fax.tiff", ocr={**sizes, "max_pages": 2})
    assert found.text.split() == ["size", "30x30", "size", "40x40"]
    assert found.notes == ("ocr_page_limit",)
    assert len(found.pages) == 3


def test_a_large_picture_is_read_smaller_and_a_huge_one_refused(parsed, refusal, sizes):
    assert parsed(pictures((8000, 6000)), "photo.tiff", ocr=sizes).text == "size 4000x3000"
    assert refusal(pictures((8000, 7000)), "plan.tiff", ocr=sizes) == "unrenderable_page"
    assert refusal(pictures((20_000, 10_000)), "map.tiff", ocr=sizes) == "unrenderable_page"


@needs_tesseract
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_a_picture_is_read(parsed, kind):
    found = parsed(make_image("Travel rules of Rome", kind), f"scan.{kind.lower()}")
    assert words(found.text) == "travel rules of rome"
    assert found.kind == "scanned"


@needs_tesseract
def test_the_pages_of_a_scan_are_read_and_keep_their_numbers(parsed):
    found = parsed(make_scan(["Travel rules", "Hotel rules"], text_on_first="Seen at once."), "scan.pdf")
    starts = [page.start for page in found.pages]
    assert [words(found.text[start:end]) for start, end in zip(starts, [*starts[1:], None], strict=True)] == [
        "seen at once.",
        "travel rules",
        "hotel rules",
    ]
    assert [page.is_recognised for page in found.features] == [False, True, True]


@needs_tesseract
def test_recognition_stops_at_its_limit_and_says_so(parsed):
    found = parsed(make_scan(["Travel rules", "Hotel rules"]), "scan.pdf", ocr={"max_pages": 1})
    assert words(found.text) == "travel rules"
    assert found.notes == ("ocr_page_limit",)


@needs_tesseract
def test_a_picture_that_is_broken_is_refused(refusal):
    assert refusal(make_image("Travel rules", "PNG")[:300], "scan.png") == "corrupt_file"
