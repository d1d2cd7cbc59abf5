"""From the lines of a printed page to paragraphs, headings and rows; pure."""

import re
from collections.abc import Mapping
from itertools import pairwise

from advanced_rag.parsing.classify import is_row

FULL = 0.75  # of a page's long lines: a line at least this long was broken because it was full
FULL_WITH_SENTENCE = 0.9  # likewise, where a sentence ends with it: the paragraph may end as well
MIN_WIDTH_CHARS = 40  # pages of shorter lines are lists or labels, not paragraphs
LONG_LINES = 0.9  # the quantile of line lengths that tells how wide the text is set
HYPHENS = "\x02\ufffe"  # where the renderer found a word divided at the end of a line

_SENTENCE_END = re.compile(r"[.!?:;\u3002\uff01\uff1f][\"'\u201d\u2019)\]]*$")
_ITEM = re.compile(r"([-*\u2013\u2014\u2022\u25e6\u25aa\u25cf\u25cb\u00b7]|\(?[0-9]{1,3}[.)]|\(?[a-zA-Z][.)])\s")
_MARKUP = re.compile(r"[ ]{0,3}(#{1,6}[ \t]|```|~~~|\|.*\|\s*$)")


def to_markdown(text: str, headings: Mapping[str, int]) -> str:
    """Return a page as Markdown: lines joined to paragraphs, headings marked, rows of tables left as lines.

    ``headings`` gives the level of each title, as ``title_key`` writes it, that is a heading on this page.
    """
    divided = re.sub(f"[{HYPHENS}]\\s*\n?", "", text.replace("\r\n", "\n").replace("\xad\n", "").replace("\xad", ""))
    lines = [line.strip() for line in divided.split("\n") if line.strip()]
    if not lines:
        return ""
    width = _width(lines)
    parts = [_written(lines[0], headings)]
    for before, line in pairwise(lines):
        parts += [_between(before, line, width, headings), _written(line, headings)]
    return "".join(parts)


def title_key(title: str) -> str:
    """Return what two writings of one title have in common."""
    return "".join(title.split()).casefold()


def _width(lines: list[str]) -> int:
    lengths = sorted(len(line) for line in lines)
    return max(lengths[int(LONG_LINES * (len(lengths) - 1))], MIN_WIDTH_CHARS)


def _between(before: str, line: str, width: int, headings: Mapping[str, int]) -> str:
    if title_key(before) in headings or title_key(line) in headings:
        return "\n\n"
    if is_row(before) or is_row(line) or _ITEM.match(line):
        return "\n"
    is_sentence_over = bool(_SENTENCE_END.search(before))
    if is_sentence_over and len(line) < FULL * width and not _SENTENCE_END.search(line):
        return "\n\n"  # a title, or the number of the page
    is_full = len(before) >= width * (FULL_WITH_SENTENCE if is_sentence_over else FULL)
    return " " if is_full or line[0].islower() else "\n\n"


def _written(line: str, headings: Mapping[str, int]) -> str:
    level = headings.get(title_key(line))
    if level is not None:
        return f"{'#' * level} {' '.join(line.split())}"
    return f"\\{line}" if _MARKUP.match(line) else line
