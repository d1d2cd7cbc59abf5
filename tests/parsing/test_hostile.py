"""Files that mean harm, or are broken: each ends with its own code."""

import gzip
import io
import json
import struct
import tarfile
import zipfile

import pytest

from tests.support.files import (
    make_docx,
    make_eml,
    make_image,
    make_pdf,
    make_pptx,
    make_tar,
    make_xlsx,
    make_zip,
    paragraph,
)

ZEROS = bytes(8_000_000)
ENTITY = '<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
LAUGHS = '<!DOCTYPE d [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


def nested(levels: int) -> bytes:
    data = b"At last."
    for level in range(levels):
        data = make_zip({"inner.txt" if level == 0 else "inner.zip": data})
    return data


@pytest.mark.parametrize("name", ["a.pdf", "a.docx", "a.txt", "a", "a.zip"])
def test_no_bytes(refusal, name):
    assert refusal(b"", name) == "empty_file"


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"MZ\x90\x00" + bytes(100), "a.pdf"),
        (b"\x7fELF" + bytes(100), "a.txt"),
        (b"<html><body>Hello</body></html>", "a.pdf"),
        (b"just words", "a.docx"),
        (b"just words", "a.png"),
        (make_pdf([(None, "Hello")]), "a.txt"),
        (make_pdf([(None, "Hello")]), "a.docx"),
        (make_zip({"a.txt": b"Hello"}), "a.pdf"),
        (make_zip({"a.txt": b"Hello"}), "a.docx"),
        (make_docx(paragraph("Hello")), "a.pdf"),
        (make_image("Hello", "PNG"), "a.pdf"),
    ],
)
def test_a_name_that_lies(refusal, data, name):
    assert refusal(data, name) == "type_mismatch"


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (make_tar({"a.pdf": make_pdf([(None, "Hello")])}), "a.tar"),
        (make_zip({"a.pdf": make_pdf([(None, "Hello")])}, zipfile.ZIP_STORED), "a.zip"),
        (b"HEADER = '%PDF-'  # Hello", "a.py"),
        (b"# Hello\n\nA file that begins with %PDF-1.7 is a PDF.", "a.md"),
        (b"Hello, a file that begins with %PDF-1.7 is a PDF.", "a"),
        (b"junk\n" + make_pdf([(None, "Hello")]), "a.pdf"),
        (b"junk\n" + make_pdf([(None, "Hello")]), "a"),
        (b"MZ;Hello\n12;Mainz", "a.csv"),
    ],
)
def test_a_file_is_not_taken_for_what_is_in_it(parsed, data, name):
    found = parsed(data, name)
    assert "Hello" in found.text
    assert (found.media_type == "application/pdf") == data.startswith(b"junk")


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"MZ\x90\x00" + bytes(100), "a.exe"),
        (b"\x00\x01\x02\x03" * 30, "a"),
        (b"{\\rtf1 Hello}", "a.rtf"),
        (make_zip({"mimetype": b"application/vnd.oasis.opendocument.text"}), "a.odt"),
    ],
)
def test_a_type_nobody_reads(refusal, data, name):
    assert refusal(data, name) == "unsupported_type"


def test_an_office_file_may_be_called_an_archive(parsed):
    assert parsed(make_docx(paragraph("Hello")), "a.zip").text == "Hello"


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (make_zip({"a.txt": ZEROS}), "a.zip"),
        (make_docx(paragraph("Hello"), extra={"word/big.bin": ZEROS}), "a.docx"),
        (make_zip({"xl/workbook.xml": ZEROS}), "a.xlsx"),
        (gzip.compress(ZEROS), "a.gz"),
        (gzip.compress(make_tar({"a.txt": ZEROS})), "a.tgz"),
        (make_zip({"inner.zip": make_zip({"a.txt": ZEROS})}), "a.zip"),
        (make_eml("x", "y", {"a.zip": make_zip({"a.txt": ZEROS})}), "a.eml"),
    ],
)
def test_a_bomb(refusal, data, name):
    assert refusal(data, name) == "archive_too_large"


def test_more_members_or_bytes_than_an_archive_may_have(refusal):
    many = make_zip({f"{n}.txt": b"x" for n in range(30)})
    assert refusal(many, "a.zip", archive={"max_members": 29}) == "archive_too_large"
    spread = make_zip({f"{n}.zip": make_zip({f"{m}.txt": b"x" for m in range(6)}) for n in range(6)})
    assert refusal(spread, "a.zip", archive={"max_members": 40}) == "archive_too_large"
    large = make_zip({f"{n}.txt": bytes(300_000) for n in range(5)}, zipfile.ZIP_STORED)
    assert refusal(large, "a.zip", archive={"max_bytes": 1_048_576}) == "archive_too_large"


def test_a_sparse_file_is_as_large_as_it_says(refusal):
    member = tarfile.TarInfo("a.txt")
    member.pax_headers = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.map": "0,5"}
    member.pax_headers |= {"GNU.sparse.name": "a.txt", "GNU.sparse.size": str(1 << 40)}
    member.size = 5
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(member, io.BytesIO(b"Hello"))
    assert refusal(packed.getvalue(), "a.tar") == "archive_too_large"


def test_archives_in_archives(parsed, refusal):
    assert parsed(nested(3), "a.zip").text.endswith("At last.")
    assert refusal(nested(4), "a.zip") == "archive_too_deep"
    mail = b"Hello"
    for _ in range(5):
        mail = make_eml("", "", {"inner.eml": mail})
    assert refusal(mail, "a.eml") == "archive_too_deep"


def test_an_archive_nothing_of_which_can_be_read_says_why(refusal):
    assert refusal(make_zip({"a.exe": b"MZ\x90\x00"}), "a.zip") == "unsupported_type"
    assert refusal(make_zip({}), "a.zip") == "no_text"


@pytest.mark.parametrize("prologue", [ENTITY, LAUGHS])
def test_entities(refusal, prologue):
    xml = f'<?xml version="1.0"?>{prologue}<d>&x;</d>'
    assert refusal(xml.encode(), "a.xml") == "external_entities"
    assert refusal(xml.encode("utf-16"), "a.xml") == "external_entities"
    assert refusal(make_docx(paragraph("&x;"), prologue), "a.docx") == "external_entities"
    deck = make_pptx([("One", "two", "three")])
    assert refusal(_with(deck, "ppt/slides/slide1.xml", xml.encode()), "a.pptx") == "external_entities"
    assert refusal(_with(make_xlsx({"A": [["x"]]}), "xl/workbook.xml", xml.encode()), "a.xlsx") == "external_entities"


def test_files_of_other_types_that_xml_names_are_not_read(parsed):
    xml = b"<!DOCTYPE d [<!ENTITY fig1 SYSTEM '/etc/passwd' NDATA TIF>]><d><t>Drawing</t></d>"
    assert parsed(xml, "a.xml").text == "t: Drawing"


def test_includes_of_xml_are_not_followed(parsed):
    xml = b"<d xmlns:xi='http://www.w3.org/2001/XInclude'><t>Seen</t><xi:include href='/etc/hostname' parse='text'/></d>"
    assert parsed(xml, "a.xml").text == "t: Seen"


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (make_pdf([(None, "Hello" * 50)])[:300], "a.pdf"),
        (b"%PDF-1.7\n", "a.pdf"),
        (make_docx(paragraph("Hello"))[:-40], "a.docx"),
        (make_docx("<w:p>"), "a.docx"),
        (make_xlsx({"A": [["x"]]})[:-40], "a.xlsx"),
        (make_zip({"a.txt": b"Hello"})[:-5], "a.zip"),
        (make_tar({"a.txt": b"x" * 2000})[:700], "a.tar"),
        (gzip.compress(b"Hello", mtime=0)[:-9], "a.gz"),
        (OLE + bytes(2000), "a.xls"),
        (b'{"a": 1', "a.json"),
        (b"[" * 100_000, "a.json"),
        (b"1" * 10_000, "a.json"),
        (b"<a><b></a>", "a.xml"),
        (b"<a>" * 10_000, "a.xml"),
    ],
)
def test_damage(refusal, data, name):
    assert refusal(data, name) == "corrupt_file"


def test_a_checksum_that_is_wrong(refusal):
    data = make_zip({"a.txt": b"Hello there"}, zipfile.ZIP_STORED).replace(b"Hello there", b"Hallo there")
    assert refusal(data, "a.zip") == "corrupt_file"


def test_passwords(refusal, parsed):
    assert refusal(make_pdf([(None, "Hello")], password="secret"), "a.pdf") == "encrypted_file"
    locked = bytearray(make_zip({"a.txt": b"Hello"}, zipfile.ZIP_STORED))
    locked[6] |= 1
    central = locked.index(b"PK\x01\x02")
    locked[central + 8] |= 1
    assert refusal(bytes(locked), "a.zip") == "encrypted_file"


def test_more_pages_than_allowed(refusal, parsed):
    pages = make_pdf([(None, "Hello")] * 3)
    assert len(parsed(pages, "a.pdf", max_pages=3).pages) == 3
    assert refusal(pages, "a.pdf", max_pages=2) == "too_many_pages"
    assert refusal(make_pptx([("A", "b", "c")] * 3), "a.pptx", max_pages=2) == "too_many_pages"
    assert refusal(make_xlsx({"A": [], "B": [], "C": []}), "a.xlsx", max_pages=2) == "too_many_pages"


def test_more_text_than_allowed(refusal):
    assert refusal(b"word " * 300, "a.txt", max_text_chars=1000) == "text_too_large"
    members = make_zip({f"{n}.txt": b"word " * 100 for n in range(3)})
    assert refusal(members, "a.zip", max_text_chars=1000) == "text_too_large"


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b" \n\t ", "a.txt"),
        (b"\xef\xbb\xbf", "a.md"),
        (b"<html><script>x</script></html>", "a.html"),
        (make_docx(""), "a.docx"),
        (make_pdf([(None, "")]), "a.pdf"),
        (make_xlsx({"A": []}), "a.xlsx"),
        (b",,,\n,,,", "a.csv"),
        (b"{}", "a.json"),
    ],
)
def test_nothing_to_read(refusal, data, name):
    assert refusal(data, name) == "no_text"


def test_text_is_clean(parsed):
    dirty = "a\0b\x1b[0mc\u202ed\ufeffe\U000e0041f\r\ng\u2028h"
    assert parsed(dirty.encode(), "a.txt").text == "ab[0mcdef\ng\nh"
    assert parsed(json.dumps({"a": "x\ud800y\0"}).encode(), "a.json").text == "a: xy"


def test_depth_of_html_ends_nothing(parsed):
    deep = b"<div>" * 1500 + b"At last." + b"</div>" * 1500
    assert "At last." in parsed(b"<p>First.</p>" + deep, "a.html").text


def test_html_that_cannot_be_read_to_its_end_is_not_read_in_part(refusal):
    assert refusal(b"<p>First.</p>" + b"<font>line<br>" * 3000 + b"<p>At last.</p>", "a.html") == "corrupt_file"


@pytest.mark.parametrize("page", ["<p>a{}b</p>", "{}<p>a b</p>", "<table><tr><td>a{}b<td>c</table>"])
def test_white_space_in_html_is_no_work(parsed, page):
    assert "a b" in parsed(page.format(" \t" * 500_000).encode(), "a.html").text


def test_a_size_that_lies_unpacks_no_more_than_it_says(refusal):
    data = bytearray(make_zip({"a.txt": ZEROS}))
    central = data.index(b"PK\x01\x02")
    struct.pack_into("<I", data, central + 24, 100)
    assert refusal(bytes(data), "a.zip") == "corrupt_file"


def _with(package: bytes, name: str, content: bytes) -> bytes:
    """The package with one of its parts replaced."""
    with zipfile.ZipFile(io.BytesIO(package)) as archive:
        members = {item: archive.read(item) for item in archive.namelist()}
    return make_zip({**members, name: content})
