"""Text in pictures: read where Tesseract is installed, and a clear word where it is not."""

import importlib.util

import pytest

from advanced_rag.config import OcrSettings
from advanced_rag.parsing.ocr import languages_dir
from tests.support.files import make_image, make_scan

OFF = {"ocr": {"enabled": False}}
installed = importlib.util.find_spec("tesserocr") is not None and languages_dir(OcrSettings()) is not None
needs_tesseract = pytest.mark.skipif(not installed, reason="tesserocr or its language data is not installed")


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
