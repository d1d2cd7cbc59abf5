"""What kind of document a file is."""

import pytest

from advanced_rag.models.parsed import PageFeatures
from advanced_rag.parsing.classify import classify, is_row, measure

PROSE = PageFeatures(3000)
SLIDE = PageFeatures(300, is_landscape=True)
PHOTO = PageFeatures(80, image_share=0.8)
SCAN = PageFeatures(2500, image_share=1.0, is_recognised=True)
TABLE = PageFeatures(2500, table_share=0.8)
CODE = PageFeatures(2500, code_share=0.9)


@pytest.mark.parametrize(
    ("pages", "kind"),
    [
        ([], "text"),
        ([PROSE], "text"),
        ([PROSE, PROSE, SLIDE], "text"),
        ([SLIDE, SLIDE, PROSE], "visual"),
        ([PHOTO, SLIDE], "visual"),
        ([SCAN, SCAN, PROSE], "scanned"),
        ([TABLE, TABLE, PROSE], "table"),
        ([CODE], "code"),
        ([PageFeatures(3000, is_landscape=True)], "text"),
    ],
)
def test_a_document_is_what_most_of_its_pages_are(pages, kind):
    assert classify(pages) == kind


@pytest.mark.parametrize("line", ["Sales $ 1,200 $ 1,100", "12 14 15", "Costs (300) —", "2021 2.5% 3.5%"])
def test_rows_of_tables_are_known_by_their_values(line):
    assert is_row(line)


@pytest.mark.parametrize(
    "line", ["", "In 2021 we sold 12 houses and a car, which was more than before.", "a - b", "Term 1: one"]
)
def test_sentences_are_no_rows(line):
    assert not is_row(line)


@pytest.mark.parametrize(
    "line", ["f(x) ;  ", "a = 1;", "} else {", "  }", "def run(self):", "\timport os;", "#include <a>;", "if (x)"]
)
def test_lines_of_code_are_known_by_how_they_end(line):
    assert measure(f"{line}\n" * 8).code_share == 1


@pytest.mark.parametrize("line", ["a = 1", "f(x)", "classes end here:", "import is a word", "so it was;"])
def test_lines_of_prose_are_no_code(line):
    assert measure(f"{line}\n" * 8).code_share == 0


def test_clauses_that_end_in_semicolons_are_no_code():
    assert measure("• the first duty of the tenant;\n" * 8).code_share == 0
    assert measure("int a = f(1);\nreturn a;\n}\nint b = 2;\n").code_share > 0.5
