"""Any bytes under any name end in clean text or in a code."""

import unicodedata
import zipfile

from hypothesis import example, given, settings
from hypothesis import strategies as st

from advanced_rag.config import ParsingSettings
from advanced_rag.file_errors import FileError
from advanced_rag.models.parsed import Parsed
from advanced_rag.parsing.draft import Source
from advanced_rag.parsing.parse import parse
from tests.support.files import (
    docx_table,
    make_docx,
    make_eml,
    make_image,
    make_pdf,
    make_pptx,
    make_tgz,
    make_xlsx,
    make_zip,
    paragraph,
)

EXTENSIONS = [
    "pdf",
    "docx",
    "docm",
    "pptx",
    "xlsx",
    "xls",
    "zip",
    "tar",
    "tgz",
    "gz",
    "png",
    "tiff",
    "eml",
    "msg",
    "html",
    "md",
    "csv",
    "tsv",
    "json",
    "jsonl",
    "xml",
    "py",
    "txt",
    "epub",
    "exe",
]
NAMES = st.one_of(st.text(max_size=20), st.sampled_from([f"a.{extension}" for extension in EXTENSIONS]))
WHOLE = {
    "a.pdf": make_pdf([("Travel", "Rules of travel " * 30), (None, "Second page")]),
    "a.docx": make_docx(paragraph("Travel", 1) + docx_table([["a", "b"], ["1", "2"]])),
    "a.pptx": make_pptx([("Goals", "Grow", "slowly")]),
    "a.xlsx": make_xlsx({"Costs": [["City", "Sum"], ["Rome", 12]]}),
    "a.zip": make_zip({"a.md": b"# A", "b.csv": b"x,y\n1,2"}, zipfile.ZIP_STORED),
    "a.tgz": make_tgz({"a.md": b"# A"}),
    "a.eml": make_eml("Offer", "See below.", {"a.csv": b"a,b\n1,2"}),
    "a.png": make_image("Hello", "PNG"),
    "a.html": b"<html><head><title>T</title></head><body><h1>A</h1><nav>x</nav><table><tr><td>1<td>2</table></body></html>",
    "a.xml": b"<?xml version='1.0'?><a><b c='d'>text</b><b>more</b></a>",
    "a.json": b'[{"a": {"b": [1, 2.5, "x\\ud800"]}}, null]',
    "a.csv": b'a;"b\n";c\n1;2;3',
}
ALLOWED = {"\n", "\t"}


def check(data: bytes, name: str) -> None:
    try:
        found = parse(Source(name, data), ParsingSettings())
    except FileError:
        return
    check_parsed(found)


def check_parsed(found: Parsed) -> None:
    assert {letter for letter in found.text if unicodedata.category(letter) in {"Cc", "Cs"}} <= ALLOWED
    assert found.text.strip()
    starts = [page.start for page in found.pages]
    assert starts == sorted(set(starts))
    assert all(0 <= start <= len(found.text) for start in starts)
    assert [page.number for page in found.pages] == list(range(1, len(starts) + 1))
    assert all(found.text[start - 2 : start] == "\n\n" for start in starts[1:])
    assert found.title is None or found.title.isprintable()


@given(st.binary(max_size=400), NAMES)
@example(b"PK\x05\x06" + bytes(18), "a.zip")
@example(b"\x1f\x8b\x08" + bytes(20), "a.gz")
@example(b"%PDF-1.4", "a.pdf")
@example(b"\xff\xfe\x00\xd8", "a.txt")
def test_any_bytes(data, name):
    check(data, name)


@given(st.text(max_size=300), NAMES)
def test_any_text(text, name):
    check(text.encode("utf-8", "surrogatepass"), name)


@given(st.sampled_from(sorted(WHOLE)), st.data())
@settings(max_examples=400)
def test_any_damage_to_a_sound_file(name, data):
    damaged = bytearray(WHOLE[name])
    for _ in range(data.draw(st.integers(1, 6))):
        position = data.draw(st.integers(0, len(damaged) - 1))
        damaged[position] = data.draw(st.integers(0, 255))
    check(bytes(damaged[: data.draw(st.integers(1, len(damaged)))] if data.draw(st.booleans()) else damaged), name)


@given(st.sampled_from(sorted(WHOLE)), NAMES)
def test_sound_files_under_any_name(name, other):
    check(WHOLE[name], other)


@given(st.lists(st.text(max_size=60), min_size=1, max_size=5), st.text(min_size=1, max_size=30))
def test_any_cells(cells, name):
    check(make_zip({name: ",".join(cells).encode("utf-8", "replace"), "b.csv": b"a,b\n1,2"}), "a.zip")
