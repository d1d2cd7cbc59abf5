"""A file is looked at once; the rule that fits says whether it is read again, and how."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from advanced_rag.file_errors import OcrUnavailableError
from advanced_rag.models.documents import DEFAULT_TENANT
from advanced_rag.models.jobs import new_job
from advanced_rag.models.parsed import OCR_UNAVAILABLE, PageFeatures, PageStart, Parsed
from advanced_rag.models.routing import Rule
from advanced_rag.services.reading import FileReader, Reading
from advanced_rag.text.diagnose import Lexicons

TEXT = Parsed("application/pdf", None, "A pump.", (PageStart(1, 0),), (PageFeatures(7),), "text", ())
SCAN = replace(TEXT, text="", kind="scanned", notes=(OCR_UNAVAILABLE,))
MIXED = replace(TEXT, notes=("macros_ignored", OCR_UNAVAILABLE))
SLIDES = replace(TEXT, kind="visual")
DECK = replace(SLIDES, media_type="application/vnd.openxmlformats-officedocument.presentationml.presentation")
ZIP = replace(TEXT, media_type="application/zip", notes=(f"left_out:{OCR_UNAVAILABLE}",))
DEFAULTS = [
    Rule("pictures", "visual", kinds=["visual"]),
    Rule("scans", "ocr", has_scans=True),
    Rule("unreadable", "visual", kinds=["scanned"]),
]


class Parser:
    """Says of every file the same; recognition turns what is unread into text."""

    def __init__(self, seen: Parsed) -> None:
        self.seen = seen
        self.depths: list[str] = []

    async def parse(self, path: Path, name: str, depth: str = "ocr") -> Parsed:
        self.depths.append(depth)
        if depth == "ocr":
            return replace(self.seen, text="recognised", kind="scanned", notes=())
        if depth == "text" and not self.seen.text:
            raise OcrUnavailableError
        return self.seen


def read(seen: Parsed, routes=("ocr", "visual"), rules=DEFAULTS, max_pages: int = 10) -> tuple[Reading, list[str]]:
    parser = Parser(seen)
    reader = FileReader(parser, rules, routes, Lexicons({"pumps": ["pump"]}), max_pages=max_pages)
    job = new_job(DEFAULT_TENANT, "ingest", "key", 1, 2)
    return asyncio.run(reader.read(job, Path("file"), {"name": "file.pdf", "bytes": 10})), parser.depths


@pytest.mark.parametrize(
    ("seen", "routes", "expected"),
    [
        (TEXT, ("ocr", "visual"), ("text", "otherwise", ["look"])),
        (SCAN, ("ocr", "visual"), ("ocr", "scans", ["look", "ocr"])),
        (SCAN, ("visual",), ("visual", "unreadable", ["look"])),
        (MIXED, ("ocr", "visual"), ("ocr", "scans", ["look", "ocr"])),
        (MIXED, (), ("text", "otherwise", ["look", "text"])),
        (ZIP, ("ocr",), ("ocr", "scans", ["look", "ocr"])),
        (SLIDES, ("ocr", "visual"), ("visual", "pictures", ["look"])),
        (SLIDES, ("ocr",), ("text", "otherwise", ["look"])),
        (DECK, ("ocr", "visual"), ("text", "otherwise", ["look"])),
    ],
    ids=[
        "text",
        "scan",
        "scan, no recognition",
        "some scans",
        "some scans, no recognition",
        "scans in an archive",
        "slides",
        "slides, no model",
        "slides nobody can draw",
    ],
)
def test_the_shipped_rules(seen, routes, expected):
    found, depths = read(seen, routes)
    assert (found.decision.route, found.decision.rule, depths) == expected


def test_a_scan_that_neither_is_recognised_nor_looked_at_is_refused():
    with pytest.raises(OcrUnavailableError):
        read(SCAN, ())


def test_a_rule_can_forbid_recognition():
    rules = [Rule("fast", "text", kinds=["scanned"]), *DEFAULTS]
    with pytest.raises(OcrUnavailableError):
        read(SCAN, rules=rules)
    found, depths = read(MIXED, rules=[Rule("fast", "text"), *DEFAULTS])
    assert (found.decision.rule, depths) == ("fast", ["look", "text"])
    assert OCR_UNAVAILABLE in found.details()["notes"]


def test_a_document_stays_of_the_kind_the_rule_saw():
    found, _ = read(replace(MIXED, kind="table"))
    assert (found.parsed.text, found.parsed.kind) == ("recognised", "table")


def test_pages_that_are_looked_at_are_not_left_out():
    assert read(SCAN, ("visual",))[0].details()["notes"] == []
    two = replace(SCAN, pages=(PageStart(1, 0), PageStart(2, 2)))
    assert read(two, ("visual",), max_pages=1)[0].details()["notes"] == ["visual_page_limit"]


def test_a_picture_is_one_page_where_it_is_looked_at():
    picture = replace(SCAN, media_type="image/png", pages=())
    assert read(picture, ("visual",))[0].pages == (PageStart(1, 0),)
    assert read(picture, ("ocr",))[0].pages == ()


def test_the_figures_of_the_text_are_kept():
    told = read(TEXT)[0].details()
    assert told["diagnostics"]["words"] == 2
    assert told["diagnostics"]["domains"] == {"pumps": 0.5}
    assert (told["route"], told["rule"], told["kind"]) == ("text", "otherwise", "text")
