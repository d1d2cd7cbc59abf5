"""A name from outside is a name and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advanced_rag.fetching.names import file_name


@pytest.mark.parametrize(
    ("disposition", "path", "name"),
    [
        (None, "/reports/2026/annual%20report.pdf", "annual report.pdf"),
        ('attachment; filename="minutes.docx"', "/download", "minutes.docx"),
        ("attachment; filename*=UTF-8''%C3%9Cbersicht.pdf", "/download", "Übersicht.pdf"),
        ('attachment; filename="../../etc/passwd"', "/x", "passwd"),
        ('attachment; filename="C:\\\\temp\\\\a.txt"', "/x", "a.txt"),
        (None, "/..%2f..%2fetc%2fshadow", "shadow"),
        (None, "/.htaccess", "htaccess"),
        ("attachment", "/", "download"),
        (None, "/a%00b%0a<c>.pdf", "a_b_c_.pdf"),
    ],
)
def test_a_name_comes_from_the_header_or_the_path(disposition, path, name):
    assert file_name(disposition, path) == name


@given(st.none() | st.text(st.characters(exclude_characters="\r\n\0")), st.text())
def test_no_name_leaves_its_folder_or_hides(disposition, path):
    name = file_name(disposition, path)
    assert 1 <= len(name) <= 120
    assert not name.startswith(".")
    assert not set(name) & set('/\\\0\n\r:*?"<>|')


def test_a_long_name_keeps_its_kind():
    assert file_name(None, "/" + "a" * 500 + ".pdf").endswith("a.pdf")
