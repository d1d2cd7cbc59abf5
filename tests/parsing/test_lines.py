"""Lines of a page become paragraphs; nothing of them is lost."""

from hypothesis import given
from hypothesis import strategies as st

from advanced_rag.parsing.lines import title_key, to_markdown

WIDE = "Receipts are handed in within thirty days, and what comes later is refunded"
CHARACTERS = st.sampled_from("abc .,;:-#|`\r\n\t1$•é漢\xad\x02\ufffe")


def test_full_lines_are_joined_and_short_ones_end_a_paragraph():
    text = f"{WIDE}\r\n{WIDE}\r\nonly in part.\r\nThe next paragraph.\r\n{WIDE}"
    assert to_markdown(text, {}) == f"{WIDE} {WIDE} only in part.\n\nThe next paragraph.\n\n{WIDE}"


def test_a_title_below_a_full_line_stands_alone():
    assert to_markdown(f"{WIDE}\n{WIDE}.\nHotels and meals\n{WIDE}", {}).split("\n\n")[1] == "Hotels and meals"


def test_a_divided_word_is_made_whole():
    assert to_markdown("Repay\x02\r\nment and refunds", {}) == "Repayment and refunds"
    assert to_markdown("Repay\ufffement", {}) == "Repayment"


def test_items_and_rows_stay_lines():
    text = f"{WIDE}\n• one\n• two\nSales $ 1,200 $ 1,100\nCosts (300) —\n{WIDE}"
    assert to_markdown(text, {}) == text


def test_a_bookmarked_line_is_a_heading_of_its_own():
    found = to_markdown(f"{WIDE}\n1.2  Travel\nThe rules.", {title_key("1.2 travel"): 2})
    assert found == f"{WIDE}\n\n## 1.2 Travel\n\nThe rules."


@given(st.text(CHARACTERS, max_size=300))
def test_no_letter_is_lost_and_no_markup_appears(text):
    found = to_markdown(text, {})
    for letter in "abc1é漢$":
        assert found.count(letter) == text.count(letter)
    assert not any(line.startswith(("```", "# ")) for line in found.split("\n"))
