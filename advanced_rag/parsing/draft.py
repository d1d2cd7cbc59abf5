"""What every parser takes and makes, and how a draft becomes the parsed document."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from advanced_rag.config import ParsingSettings
from advanced_rag.file_errors import CorruptFileError, TextTooLargeError
from advanced_rag.models.parsed import PageFeatures, PageStart, Parsed
from advanced_rag.parsing.classify import classify, measure

MAX_TITLE_CHARS = 300
MAX_NOTES = 20
_BETWEEN_PAGES = "\n\n"
_SIGNS_OF_DAMAGE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,  # NotImplementedError and RecursionError among them
    SyntaxError,
    TypeError,
    ValueError,
)
_WORD = re.compile(r"[^\W\d_]{2}")
# What programs write where nobody gave a title; better is what the file is called.
_NO_TITLE = re.compile(
    r"untitled|(microsoft )?(word|excel|powerpoint)( document| presentation| - .*)?|(document|presentation|slide) ?\d*",
    re.IGNORECASE,
)
_LINE_ENDS = re.compile("\r\n|[\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
# Control characters and lone surrogates cannot be stored; byte order marks, overrides of the writing direction and tag
# characters are invisible to a reader and not to a model.
_REMOVED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufeff\ufffe\uffff\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f]"
)
_MANY_LINES = re.compile(r"\n[ \t]*(?:\n[ \t]*){3,}(?=\n)")


@dataclass(frozen=True, slots=True)
class Source:
    """A file, or a part of one: what it is called and its bytes. The name is never used as a path."""

    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Page:
    """One page of Markdown; without features, they are measured from the text."""

    text: str
    features: PageFeatures | None = None


@dataclass(slots=True)
class Draft:
    """What a parser found. ``is_paged`` says that the pages are the file's own and have numbers."""

    media_type: str
    pages: list[Page]
    title: str | None = None
    is_paged: bool = False
    notes: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All pages, one after the other."""
        return _BETWEEN_PAGES.join(page.text for page in self.pages)


def finish(draft: Draft, settings: ParsingSettings) -> Parsed:
    """Join the pages, keep where each begins, and judge what kind of document it is.

    Raises TextTooLargeError.
    """
    texts = [clean(page.text).strip("\n") for page in draft.pages]
    features = tuple(page.features or measure(text) for page, text in zip(draft.pages, texts, strict=True))
    text = _BETWEEN_PAGES.join(texts)
    if len(text) > settings.max_text_chars:
        raise TextTooLargeError
    return Parsed(
        media_type=draft.media_type,
        title=_title(draft.title),
        text=text,
        pages=_starts(texts) if draft.is_paged else (),
        features=features,
        kind=classify(features),
        notes=tuple(dict.fromkeys(draft.notes))[:MAX_NOTES],
    )


def clean(text: str) -> str:
    """Return a text with line feeds alone between lines, and no character that cannot be stored or seen."""
    return _MANY_LINES.sub("\n\n", _REMOVED.sub("", _LINE_ENDS.sub("\n", text)))


@contextmanager
def corrupt_if_it_fails(*foreign: type[Exception]) -> Iterator[None]:
    """Say that a file is damaged when the library that reads it fails on it.

    Anything but its own errors and the usual signs of a wrong value ends the process, and is reported as a crash.
    """
    causes: tuple[type[Exception], ...] = (*foreign, *_SIGNS_OF_DAMAGE)
    try:
        yield
    except causes:
        raise CorruptFileError from None


def cells_to_row(cells: list[str]) -> str:
    """Return one row of a Markdown table."""
    return "| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in cells) + " |"


def table(rows: list[list[str]]) -> str:
    """Return a Markdown table whose first row is its head; rows and columns that hold nothing are left out."""
    filled = [row for row in rows if any(cell.strip() for cell in row)]
    width = max((index + 1 for row in filled for index, cell in enumerate(row) if cell.strip()), default=0)
    if not width:
        return ""
    head, *body = ([*row[:width], *[""] * (width - len(row))] for row in filled)
    return "\n".join([cells_to_row(head), "|" + " --- |" * width, *map(cells_to_row, body)])


def fenced(text: str, language: str = "") -> str:
    """Return a text as a block of code, fenced by more marks than it holds in a row."""
    longest = max((len(found) for found in re.findall("`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def under(heading: str, markdown: str) -> str:
    """Return a text as a section: below a heading, its own headings one level lower."""
    return f"# {one_line(heading)}\n\n{_demoted(markdown)}"


def one_line(text: str) -> str:
    """Return a text without line breaks, cut to the length of a title."""
    return " ".join(clean(text[: 2 * MAX_TITLE_CHARS]).split())[:MAX_TITLE_CHARS]


def with_title(draft: Draft, title: str | None) -> Draft:
    """Return the draft with a title, unless it has one."""
    return draft if draft.title or not title else replace(draft, title=title)


def _demoted(markdown: str) -> str:
    lines: list[str] = []
    fence = ""
    for line in markdown.split("\n"):
        mark = re.match(r" {0,3}(`{3,}|~{3,})", line)
        if fence:
            fence = "" if line.strip().startswith(fence) else fence
        elif mark:
            fence = mark.group(1)
        elif re.match(r"#{1,5}[ \t]", line):
            line = f"#{line}"  # noqa: PLW2901 - the same line, one level lower
        lines.append(line)
    return "\n".join([*lines, fence] if fence else lines)


def _title(title: str | None) -> str | None:
    told = one_line(title or "")
    return told if _WORD.search(told) and not _NO_TITLE.fullmatch(told) else None


def _starts(texts: list[str]) -> tuple[PageStart, ...]:
    starts: list[PageStart] = []
    position = 0
    for number, text in enumerate(texts, start=1):
        starts.append(PageStart(number, position))
        position += len(text) + len(_BETWEEN_PAGES)
    return tuple(starts)
