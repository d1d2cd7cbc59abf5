"""What each format keeps of its structure."""

import json
import zipfile

import pytest

from advanced_rag.text.blocks import split_blocks
from tests.support.files import (
    docx_table,
    make_docx,
    make_eml,
    make_pdf,
    make_pptx,
    make_tar,
    make_tgz,
    make_xlsx,
    make_zip,
    paragraph,
)

LONG = (
    "Receipts are handed in within thirty days, and what comes later is refunded only when the head of department agrees. "
)


def test_a_word_document_keeps_headings_and_tables(parsed):
    body = (
        paragraph("Travel", 1)
        + paragraph("Hotels", 2)
        + paragraph("At most 120 euros.")
        + docx_table([["City", "Limit"], ["Rome", ""]])
    )
    found = parsed(make_docx(body), "rules.docx")
    assert found.text == "# Travel\n\n## Hotels\n\nAt most 120 euros.\n\n| City | Limit |\n| --- | --- |\n| Rome |  |"
    assert found.pages == ()


def test_macros_are_ignored_and_noted(parsed):
    found = parsed(make_docx(paragraph("Hello"), extra={"word/vbaProject.bin": b"\xd0\xcf"}), "form.docm")
    assert (found.text, found.notes) == ("Hello", ("macros_ignored",))


def test_slides_are_pages_with_their_titles_as_headings(parsed):
    found = parsed(make_pptx([("Goals", "Grow", "say it slowly"), ("Plan", "Hire", "")]), "deck.pptx")
    assert [page.number for page in found.pages] == [1, 2]
    assert found.text[: found.pages[1].start].split("\n\n")[:3] == ["# Goals", "Grow", "say it slowly"]
    assert found.text[found.pages[1].start :].startswith("# Plan\n\nHire")
    assert found.kind == "visual"


def test_sheets_are_pages_and_tables_without_holes(parsed):
    found = parsed(make_xlsx({"Costs": [["City", "Sum"], ["Rome", 12], [None, 1.5]], "Empty": []}), "costs.xlsx")
    assert found.text.strip() == "# Costs\n\n| City | Sum |\n| --- | --- |\n| Rome | 12 |\n|  | 1.5 |"
    assert [page.number for page in found.pages] == [1, 2]
    assert found.kind == "table"


def test_bookmarks_of_a_pdf_become_headings_and_its_lines_paragraphs(parsed):
    found = parsed(make_pdf([("Travel", LONG * 3 + "\n" + LONG), (None, "Second page.")]), "rules.pdf")
    first = found.text[: found.pages[1].start].strip().split("\n\n")
    assert first[0] == "# Travel"
    assert "\n" not in first[1]
    assert first[1].startswith(LONG * 2)
    assert found.text[found.pages[1].start :] == "Second page."


def test_pieces_of_a_file_know_the_headings_above_them_and_stay_on_their_page(parsed):
    found = parsed(make_pdf([("Travel", LONG), ("Hotels", LONG), (None, LONG)]), "rules.pdf")
    blocks = split_blocks(found.text)
    assert [block.headings for block in blocks if block.kind == "prose"] == [("Travel",), ("Hotels",), ("Hotels",)]
    assert all(not block.start < page.start < block.end for block in blocks for page in found.pages)


def test_a_pdf_page_cannot_open_a_block_of_code_or_a_heading(parsed):
    found = parsed(make_pdf([(None, "# of shares\n``` and so on"), (None, "Next")]), "a.pdf")
    assert found.text.split("\n\n")[0].startswith("\\#")
    assert "\n```" not in found.text


def test_html_keeps_what_a_reader_sees(parsed):
    page = (
        b"<html><head><title>Rules</title><style>x{}</style></head><body><!-- secret --><h1>Travel</h1><p>Seen.</p>"
        b"<p style='display: none'>Hidden order</p><div hidden>Hidden too</div><script>alert(1)</script>"
        b"<table><tr><th>City</th><th>Limit</th></tr><tr><td>Rome</td><td>120</td></tr></table></body></html>"
    )
    found = parsed(page, "rules.html")
    assert found.text == "# Travel\n\nSeen.\n\n| City | Limit |\n| --- | --- |\n| Rome | 120 |"
    assert found.title == "Rules"


@pytest.mark.parametrize(
    ("told", "title"),
    [("Travel rules", "Travel rules"), ("旅費規程", "旅費規程"), ("Untitled", None), ("0000764478-23-000041", None)]
    + [(told, None) for told in ("Microsoft Word - rules.docx", "PowerPoint Presentation", "Document1", " ", "…")],
)
def test_what_a_program_wrote_for_want_of_a_title_is_none(parsed, told, title):
    assert (
        parsed(f"<html><head><title>{told}</title></head><body><p>Seen.</p></body></html>".encode(), "a.html").title == title
    )


def test_the_main_text_of_a_site_stands_without_its_menus(parsed):
    story = "".join(f"<p>{LONG * 2}</p>" for _ in range(4))
    menu = "<nav><ul><li><a href='/a'>Home</a></li><li><a href='/b'>Shop now</a></li></ul></nav>"
    page = f"<html><body>{menu}<main><article><h1>Travel</h1>{story}</article></main><footer>Imprint</footer></body></html>"
    text = parsed(page.encode(), "site.html").text
    assert "Receipts are handed in" in text
    assert "Shop now" not in text


def test_tables_that_only_place_things_are_no_tables(parsed):
    page = b"<table><tr><td><table><tr><td>Dear Ann,</td></tr></table></td><td>how are you?</td></tr></table>"
    assert "|" not in parsed(page, "mail.html").text


def test_a_page_says_itself_how_it_is_encoded(parsed):
    page = "<html><head><meta charset='windows-1251'></head><body><p>Отпуск</p></body></html>".encode("cp1251")
    assert parsed(page, "a.html").text == "Отпуск"


def test_a_word_document_whose_main_part_has_another_name_is_one(parsed):
    found = parsed(make_docx(paragraph("Travel", 1) + paragraph("Rules"), main="document2.xml"), "a.docx")
    assert found.text == "# Travel\n\nRules"


@pytest.mark.parametrize("named", ["utf-16", "UTF-32LE", "idna", "punycode", "unicode_escape", "hex", "none such"])
def test_a_page_that_says_so_wrongly_is_read_by_its_letters(parsed, named):
    page = f"<html><head><meta charset='{named}'></head><body><p>Отпуск \\u0041-b.</p></body></html>"
    assert parsed(page.encode(), "a.html").text == "Отпуск \\u0041-b."


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1251", "koi8-r"]
)
def test_text_is_read_in_its_encoding(parsed, encoding):
    text = "Заявления на отпуск подаются за две недели до его начала.\n" * 20  # noqa: RUF001 - Russian
    assert parsed(text.encode(encoding), "rules.txt").text == text.strip()


def test_single_letters_in_lines_are_no_utf_16(parsed):
    assert parsed(b"a\nb\nc\nd", "a.txt").text == "a\nb\nc\nd"


def test_what_cannot_be_decoded_is_noted(parsed):
    found = parsed(b"a" * 70_000 + b"\n" + b"\xff\xfe" * 3, "a.txt")
    assert found.notes == ("undecodable_characters",)


def test_markdown_stays_as_it_is(parsed):
    text = "# One\n\n- a\n- b\n\n| a | b |\n| --- | --- |\n| 1 | 2 |"
    assert parsed(text.encode(), "a.md").text == text


@pytest.mark.parametrize(("name", "mark"), [("a.csv", ","), ("a.csv", ";"), ("a.tsv", "\t"), ("a.csv", "|")])
def test_delimited_text_is_a_table(parsed, name, mark):
    rows = [["City", "Limit"], ["Rome", "1"], ["Pa is", "2"]]
    found = parsed("\n".join(mark.join(row) for row in rows).encode(), name)
    assert found.text == "| City | Limit |\n| --- | --- |\n| Rome | 1 |\n| Pa is | 2 |"


def test_a_cell_cannot_break_its_row(parsed):
    assert parsed(b'a,b\n"x\ny|z",1', "a.csv").text.endswith("| x y\\|z | 1 |")


def test_json_becomes_lines_led_by_their_path(parsed):
    content = [{"city": {"name": "Rome"}, "tags": ["old", "big"]}, {"city": {"name": "Bari"}}]
    text = "city.name: Rome\ntags: old\ntags: big\n\ncity.name: Bari"
    assert parsed(json.dumps(content).encode(), "a.json").text == text
    lines = "\n".join(json.dumps(item) for item in content)
    assert parsed(lines.encode(), "a.jsonl").text == text


def test_xml_becomes_lines_led_by_their_element(parsed):
    found = parsed(b"<?xml version='1.0'?><!DOCTYPE r SYSTEM 'r.dtd'><r><t>One <b>two</b></t><u><v>3</v></u></r>", "a.xml")
    assert found.text == "t: One two\nv: 3"


def test_source_code_is_one_block_of_code(parsed):
    found = parsed(b"def f():\n    '''```'''\n    return 1\n", "tool.py")
    assert found.text == "````py\ndef f():\n    '''```'''\n    return 1\n````"


def test_a_mail_carries_its_attachments(parsed):
    inner = make_eml("Inner", "Deep words", {"deep.csv": b"a,b\n1,2"})
    found = parsed(make_eml("Offer", "See below.", {"note.md": b"# Terms\n\nThirty days.", "old.eml": inner}), "mail.eml")
    assert found.title == "Offer"
    assert found.text.startswith("# Offer\n\nFrom: Ann <ann@example.org>\nTo: bob@example.org\n\nSee below.")
    assert "# note.md\n\n## Terms\n\nThirty days." in found.text
    assert "| 1 | 2 |" in found.text


def test_a_mail_does_without_an_attachment_that_cannot_be_read(parsed):
    found = parsed(make_eml("Offer", "See below.", {"a.bin": bytes(range(32)) * 9}), "mail.eml")
    assert found.notes == ("left_out:unsupported_type",)


MEMBERS = {"../../etc/a.md": b"# A\n\none", "b/data.csv": b"x,y\n1,2", "broken.pdf": b"%PDF-1.7 nothing"}


@pytest.mark.parametrize(
    ("data", "name"), [(make_zip(MEMBERS), "a.zip"), (make_tar(MEMBERS), "a.tar"), (make_tgz(MEMBERS), "a.tgz")]
)
def test_the_members_of_an_archive_are_sections(parsed, data, name):
    found = parsed(data, name)
    assert found.text == "# ../../etc/a.md\n\n## A\n\none\n\n# b/data.csv\n\n| x | y |\n| --- | --- |\n| 1 | 2 |"
    assert found.notes == ("left_out:corrupt_file",)


def test_a_block_of_code_ends_with_its_section(parsed):
    found = parsed(make_zip({"a.md": b"```\nopen", "b.md": b"# B"}), "a.zip")
    assert found.text == "# a.md\n\n```\nopen\n```\n\n# b.md\n\n## B"


def test_chapters_of_a_book_come_in_their_order(parsed):
    container = b"<container><rootfiles><rootfile full-path='OPS/book.opf'/></rootfiles></container>"
    package = (
        b"<package xmlns:dc='http://purl.org/dc/elements/1.1/'><metadata><dc:title>Rules</dc:title></metadata>"
        b"<manifest><item id='b' href='b.xhtml'/><item id='a' href='a%20a.xhtml'/></manifest>"
        b"<spine><itemref idref='a'/><itemref idref='b'/></spine></package>"
    )
    members = {"META-INF/container.xml": container, "OPS/book.opf": package}
    chapters = {"OPS/b.xhtml": b"<h1>Two</h1>", "OPS/a a.xhtml": b"<h1>One</h1>"}
    book = make_zip({"mimetype": b"application/epub+zip", **members, **chapters}, zipfile.ZIP_STORED)
    found = parsed(book, "book.epub")
    assert (found.text, found.title) == ("# One\n\n# Two", "Rules")


@pytest.mark.parametrize("name", ["notes", "notes.unknown", "", "a.b.c/..", "CON.txt"])
def test_text_needs_no_name_that_says_so(parsed, name):
    assert parsed(b"Hello there", name).text == "Hello there"


def test_text_that_looks_like_html_or_xml_is_read_as_such_when_the_name_says_nothing(parsed):
    assert parsed(b"<!DOCTYPE html><p>Hello</p>", "page").text == "Hello"
    assert parsed(b"<?xml version='1.0'?><a>Hello</a>", "page").text == "a: Hello"
