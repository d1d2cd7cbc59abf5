"""Chunking: pieces of a text that fit the encoder, follow its structure, and overlap by whole sentences.

The text is tokenised once, a part at a time; the size of any piece is then a difference of two positions among the tokens.
"""

import re
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Protocol

import sentencex

from advanced_rag.models.documents import Span
from advanced_rag.models.parsed import PageStart
from advanced_rag.text.blocks import Block, split_blocks

_LINE = re.compile(r"[^\n]*\n?")
_PART_CHARS = 50_000  # tokenised at once: tokenizers take 150 bytes of memory a character, and let nothing else run
_TOKEN_CHARS = 100  # are one token at most: some tokenizers take a word of a million letters for one that they do not know
_LONG_SENTENCE_RULES_CHARS = 100_000  # beyond this a paragraph is no prose, and sentence rules only cost time


class Tokenizer(Protocol):
    """What chunking asks of the encoder's tokenizer."""

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """Return the character span of each token."""
        ...

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text."""
        ...


@dataclass(frozen=True, slots=True)
class ChunkLimits:
    """Sizes in tokens: a piece with its context, the special tokens around it, and the overlap of neighbours."""

    max_tokens: int
    special_tokens: int
    overlap_tokens: int


@dataclass(frozen=True, slots=True)
class _Unit:
    """The smallest thing that is kept whole if it fits: a sentence, a heading, a line of code or of a table."""

    start: int
    end: int
    tokens: int
    headings: tuple[str, ...]
    page: int | None


def context(title: str, headings: Sequence[str]) -> str:
    """Return what is embedded in front of a piece: the title and the headings above it, each said once."""
    parts = [title, *(heading for heading in headings if heading != title)]
    return " > ".join(part for part in parts if part)


def passage(title: str, headings: Sequence[str], text: str) -> str:
    """Return a piece with its context in front, as encoders and rerankers read it."""
    before = context(title, headings)
    return f"{before}. {text}" if before else text


def chunk_text(
    text: str, title: str, tokenizer: Tokenizer, limits: ChunkLimits, pages: Sequence[PageStart] = ()
) -> list[Span]:
    """Cut a text into spans; together they cover all of it but white space.

    Each span fits ``max_tokens`` together with its context. No span crosses a page, nor a heading unless what stands before
    it is small; only a sentence that is too long by itself is cut inside.
    """
    tokens = _TokenIndex(text, tokenizer)
    packer = _Packer(text, title, tokenizer, tokens, limits)
    places = _Pages(pages)
    units = [unit for block in split_blocks(text) for unit in _units(text, block, tokens, places)]
    pieces = [packer.span(group) for group in packer.pack(units)]
    return [fitting for piece in pieces for fitting in packer.fit(piece)]


class _TokenIndex:
    """Tells where the tokens of one text begin; what is very long counts as several."""

    def __init__(self, text: str, tokenizer: Tokenizer) -> None:
        self._starts = array("q")
        last = 0
        for start, end in _cut(text):
            for first, _ in tokenizer.offsets(text[start:end]):
                self._starts.extend(range(last + _TOKEN_CHARS, start + first, _TOKEN_CHARS))
                last = start + first
                self._starts.append(last)
        self._starts.extend(range(last + _TOKEN_CHARS, len(text), _TOKEN_CHARS))

    def between(self, start: int, end: int) -> Sequence[int]:
        return self._starts[bisect_left(self._starts, start) : bisect_left(self._starts, end)]

    def count(self, start: int, end: int) -> int:
        return bisect_left(self._starts, end) - bisect_left(self._starts, start)


def _cut(text: str) -> Iterator[tuple[int, int]]:
    """Cut a text after line breaks, or else after spaces, into parts that can be tokenised at once."""
    start = 0
    while start < len(text):
        end = min(start + _PART_CHARS, len(text))
        if end < len(text):
            end = text.rfind("\n", start, end) + 1 or text.rfind(" ", start, end) + 1 or end
        yield start, end
        start = end


class _Pages:
    """Tells on which page a character stands."""

    def __init__(self, pages: Sequence[PageStart]) -> None:
        self._starts = [page.start for page in pages]
        self._numbers = [page.number for page in pages]

    def at(self, position: int) -> int | None:
        found = bisect_right(self._starts, position) - 1
        return self._numbers[found] if found >= 0 else None

    def divided(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Cut a stretch of text where pages begin inside it."""
        first, last = bisect_right(self._starts, start), bisect_left(self._starts, end)
        cuts = [start, *self._starts[first:last], end]
        yield from pairwise(cuts)


class _Packer:
    def __init__(self, text: str, title: str, tokenizer: Tokenizer, tokens: _TokenIndex, limits: ChunkLimits) -> None:
        self._text = text
        self._title = title
        self._tokenizer = tokenizer
        self._tokens = tokens
        self._limits = limits
        self._capacities: dict[tuple[str, ...], int] = {}

    def capacity(self, headings: tuple[str, ...]) -> int:
        """Return the tokens left for a piece below some headings; a long context is cut, not the text."""
        if headings not in self._capacities:
            used = self._tokenizer.count([context(self._title, headings)])[0] + 1
            left = self._limits.max_tokens - self._limits.special_tokens
            self._capacities[headings] = max(left - used, left // 2)
        return self._capacities[headings]

    def pack(self, units: list[_Unit]) -> Iterator[list[_Unit]]:
        """Fill pieces with units, in order, repeating the last sentences of one at the start of the next."""
        piece: list[_Unit] = []
        size = fresh = 0
        for unit in (part for whole in units for part in self._divided(whole)):
            capacity = self.capacity(piece[0].headings if piece else unit.headings)
            new_page = bool(piece) and unit.page != piece[-1].page
            new_section = bool(piece) and unit.headings != piece[-1].headings
            if piece and (new_page or size + unit.tokens > capacity or (new_section and size >= capacity // 4)):
                yield piece
                piece = [] if new_section or new_page else self._overlap(piece, unit)
                size, fresh = sum(item.tokens for item in piece), 0
            piece.append(unit)
            size, fresh = size + unit.tokens, fresh + 1
        if fresh:
            yield piece

    def _overlap(self, piece: list[_Unit], following: _Unit) -> list[_Unit]:
        budget = min(self._limits.overlap_tokens, self.capacity(following.headings) - following.tokens)
        kept: list[_Unit] = []
        for unit in reversed(piece[1:]):
            budget -= unit.tokens
            if budget < 0 or unit.headings != following.headings:
                break
            kept.insert(0, unit)
        return kept

    def _divided(self, unit: _Unit) -> Iterator[_Unit]:
        """Cut a unit that is too long by itself at the last white space that fits, or in the middle of a word."""
        capacity = self.capacity(unit.headings)
        if unit.tokens <= capacity:
            yield unit
            return
        starts = self._tokens.between(unit.start, unit.end)
        start = unit.start
        for first in range(0, len(starts), capacity):
            after = first + capacity
            end = starts[after] if after < len(starts) else unit.end
            if self._text[start:end].strip():
                yield replace(unit, start=start, end=end, tokens=min(capacity, len(starts) - first))
            start = end

    def span(self, units: list[_Unit]) -> Span:
        """Return the span of some neighbouring units, white space at its ends left out."""
        start, end = units[0].start, units[-1].end
        piece = self._text[start:end]
        start += len(piece) - len(piece.lstrip())
        end -= len(piece) - len(piece.rstrip())
        return Span(start, max(start, end), units[0].headings, sum(unit.tokens for unit in units), units[0].page)

    def fit(self, span: Span) -> Iterator[Span]:
        """Halve a span until it fits as the tokenizer counts it alone: a cut inside a word may add tokens."""
        size = self._tokenizer.count([self._text[span.start : span.end]])[0]
        if size <= self.capacity(span.headings) or span.end - span.start < 2:
            yield replace(span, tokens=size)
            return
        middle = (span.start + span.end) // 2
        for start, end in ((span.start, middle), (middle, span.end)):
            yield from self.fit(replace(span, start=start, end=end))


def _units(text: str, block: Block, tokens: _TokenIndex, pages: _Pages) -> Iterator[_Unit]:
    for part in _parts(text, block):
        for start, end in pages.divided(*part):
            if text[start:end].strip():
                yield _Unit(start, end, tokens.count(start, end), block.headings, pages.at(start))


def _parts(text: str, block: Block) -> Iterator[tuple[int, int]]:
    content = text[block.start : block.end]
    if block.kind == "heading":
        yield block.start, block.end
    elif block.kind == "prose" and len(content) <= _LONG_SENTENCE_RULES_CHARS:
        # Sentence rules take a line break for an end; inside a paragraph it is only where the line was full.
        for found in sentencex.get_sentence_boundaries("en", content.replace("\n", " ")):
            yield block.start + found["start_index"], block.start + found["end_index"]
    else:
        for found in _LINE.finditer(content):
            yield block.start + found.start(), block.start + found.end()
