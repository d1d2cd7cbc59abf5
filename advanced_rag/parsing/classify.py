"""What kind of document a file is, judged by the measured features of its pages; pure."""

import re
from collections.abc import Callable, Sequence

from advanced_rag.models.parsed import DocumentKind, PageFeatures

MOST = 0.5  # a document is of a kind when at least half of its pages are
SPARSE_CHARACTERS = 1200  # a page of prose has 2000 to 4000; a slide or a form rarely more than this
PICTURED = 0.4  # of the area below pictures: what is left holds captions, not prose
LINED = 0.5  # of the lines in tables or in code: prose around them explains them

_TABLE_LINE = re.compile(r"\s*\|.*\|\s*$")
_FENCE = re.compile(r"\s{0,3}(```|~~~)")
_NUMBER = re.compile(r"[($€£¥+-]*\d[\d.,/]*[%)]*$")
_BLANKS = {"-", "\u2013", "\u2014", "*"}  # what tables write where there is no number
_STATEMENT = re.compile(r"\s*(def|class|import|from|return|if|for|while|public|private|#include)\b")
_FEWEST_LINES = 4  # fewer lines than this say nothing about what they are


def classify(features: Sequence[PageFeatures]) -> DocumentKind:
    """Return the kind of a document; what most of its pages agree on, text if they do not."""
    tests: list[tuple[DocumentKind, Callable[[PageFeatures], bool]]] = [
        ("scanned", lambda page: page.is_recognised),
        ("code", lambda page: page.code_share >= LINED),
        ("table", lambda page: page.table_share >= LINED),
        ("visual", _is_visual),
    ]
    for kind, is_kind in tests:
        if features and sum(map(is_kind, features)) >= MOST * len(features):
            return kind
    return "text"


def measure(text: str) -> PageFeatures:
    """Measure what the text alone tells of a page."""
    lines = [line for line in text.split("\n") if line.strip()]
    if len(lines) < _FEWEST_LINES:
        return PageFeatures(len(text))
    tables = sum(1 for line in lines if _TABLE_LINE.match(line) or is_row(line))
    return PageFeatures(len(text), tables / len(lines), _code_lines(lines) / len(lines))


def is_row(line: str) -> bool:
    """Tell whether a line reads like the row of a table: two values or more, and few words."""
    words = line[:500].split()
    numbers = sum(1 for word in words if _NUMBER.match(word))
    values = numbers + sum(1 for word in words if word in _BLANKS)
    return numbers >= 1 and values >= 2 and values * 4 >= len(words)


def _is_visual(page: PageFeatures) -> bool:
    return page.characters < SPARSE_CHARACTERS and (page.is_landscape or page.image_share >= PICTURED)


def _code_lines(lines: list[str]) -> int:
    inside, count = False, 0
    for line in lines:
        is_fence = bool(_FENCE.match(line))
        count += inside or is_fence or _is_code(line[:500].rstrip())
        inside ^= is_fence
    return count


def _is_code(line: str) -> bool:
    if line.endswith(";") and ("=" in line or line[:-1].rstrip().endswith(")")):
        return True
    return line.endswith(("{", "}")) or (line.endswith((":", ";", ")")) and bool(_STATEMENT.match(line)))
