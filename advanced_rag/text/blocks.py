"""The structure of a text: headings, code, tables, paragraphs, each with its place. Markdown and plain text alike."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

BlockKind = Literal["heading", "code", "table", "prose"]

_HEADING = re.compile(r"(#{1,6})[ \t]+(.+)")
_FENCE = re.compile(r"[ ]{0,3}(```+|~~~+)")
_TABLE_ROW = re.compile(r"[ ]{0,3}\|.*\|[ \t]*$")
_MAX_HEADING_CHARS = 300  # it stands with every piece below it
_TITLE_WITHIN_CHARS = 20_000  # a heading that comes later is that of a part


@dataclass(frozen=True, slots=True)
class Block:
    """Characters [start, end) of a text that belong together, and the headings above them."""

    kind: BlockKind
    start: int
    end: int
    headings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Line:
    start: int
    end: int
    text: str


def split_blocks(text: str) -> list[Block]:
    """Split a text into blocks; together they hold every character that is not white space."""
    blocks: list[Block] = []
    headings: list[tuple[int, str]] = []
    for kind, lines in _runs(_lines(text)):
        if kind == "heading":
            level, title = _heading(lines[0])
            headings = [*(item for item in headings if item[0] < level), (level, title)]
        blocks.append(Block(kind, lines[0].start, lines[-1].end, tuple(title for _, title in headings)))
    return blocks


def first_heading(text: str) -> str | None:
    """Return the first heading near the start of a text, None when there is none."""
    found = (block.headings[-1] for block in split_blocks(text[:_TITLE_WITHIN_CHARS]) if block.kind == "heading")
    return next(found, None)


def _lines(text: str) -> list[_Line]:
    lines: list[_Line] = []
    position = 0
    for raw in text.splitlines(keepends=True):
        lines.append(_Line(position, position + len(raw), raw.rstrip()))
        position += len(raw)
    return lines


def _runs(lines: list[_Line]) -> Iterator[tuple[BlockKind, list[_Line]]]:
    """Group lines into runs of one kind; blank lines end a run and belong to none, but inside code."""
    index = 0
    while index < len(lines):
        line = lines[index]
        if not line.text.strip():
            index += 1
            continue
        kind = _kind(line)
        end = _end_of_run(lines, index, kind)
        yield kind, lines[index:end]
        index = end


def _kind(line: _Line) -> BlockKind:
    if _FENCE.match(line.text):
        return "code"
    if _HEADING.match(line.text):
        return "heading"
    return "table" if _TABLE_ROW.match(line.text) else "prose"


def _end_of_run(lines: list[_Line], start: int, kind: BlockKind) -> int:
    if kind == "heading":
        return start + 1
    if kind == "code":
        return _end_of_fence(lines, start)
    end = start + 1
    while end < len(lines) and lines[end].text.strip() and _kind(lines[end]) == kind:
        end += 1
    return end


def _end_of_fence(lines: list[_Line], start: int) -> int:
    opening = _FENCE.match(lines[start].text)
    fence = opening.group(1) if opening else "```"
    for index in range(start + 1, len(lines)):
        if lines[index].text.strip().startswith(fence):
            return index + 1
    return len(lines)


def _heading(line: _Line) -> tuple[int, str]:
    found = _HEADING.match(line.text)
    return (len(found.group(1)), _said(found.group(2))) if found else (1, line.text)


def _said(heading: str) -> str:
    """Return what a heading says, without the marks that may close it."""
    bare = heading.rstrip("#")
    said = bare.rstrip() if bare.endswith((" ", "\t")) else heading
    return said[:_MAX_HEADING_CHARS].rstrip()
