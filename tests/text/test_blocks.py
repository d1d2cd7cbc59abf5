"""Blocks are found in one pass over a text, whatever it holds."""

from hypothesis import given
from hypothesis import strategies as st

from advanced_rag.text.blocks import first_heading, split_blocks

MANY = 200_000


def headings(text: str) -> list[tuple[str, ...]]:
    return [block.headings for block in split_blocks(text)]


def test_a_heading_says_what_stands_between_its_marks():
    assert headings("# Open\n## Closed ##\n### A closed one #\t\n# C#\n# #1") == [
        ("Open",),
        ("Open", "Closed"),
        ("Open", "Closed", "A closed one"),
        ("C#",),
        ("#1",),
    ]
    assert headings("#\n#none") == [()]


@given(st.sampled_from([" ", "\t", "#", " #", "\t #", "# ", "|", "| ", "` "]), st.sampled_from(["# a{}b", "# {}b", "{}b"]))
def test_no_line_takes_longer_than_its_length(piece, line):
    assert len(split_blocks(line.format(piece * MANY))) == 1


def test_a_long_heading_is_cut_and_its_line_stays_whole():
    text = f"# {'word ' * MANY}\n\nText."
    heading, prose = split_blocks(text)
    assert text[heading.start : heading.end].count("word") == MANY
    assert text.startswith(f"# {prose.headings[0]}")
    assert len(prose.headings[0]) < 1000


def test_a_text_is_called_by_a_heading_near_its_start():
    assert first_heading("Words.\n\n```\n# code\n```\n## Travel\n# Rules") == "Travel"
    assert first_heading("Words.\n" * MANY + "# Late") is None
