"""Chunks cover their text, fit the encoder, and follow the structure."""

import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advanced_rag.text.chunk import ChunkLimits, chunk_text, context


class Words:
    """A tokenizer that is easy to count by: words, and each other character by itself."""

    def offsets(self, text: str) -> list[tuple[int, int]]:
        return [found.span() for found in re.finditer(r"[a-z]{1,8}|\S", text)]

    def count(self, texts: Sequence[str]) -> list[int]:
        return [len(self.offsets(text)) for text in texts]


WORDS = Words()
PIECES = [
    "word ",
    "# Head\n",
    "## Under\n",
    "\n\n",
    "a",
    "é",
    "漢",
    ". ",
    "! ",
    "```\n",
    "| a | b |\n",
    "- item\n",
    "\r\n",
    "x" * 40,
    "\t",
    "😀",
]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=120).map("".join)
LIMITS = st.builds(ChunkLimits, st.sampled_from([32, 64, 256]), st.just(2), st.sampled_from([0, 8, 32]))


@given(text=TEXTS, limits=LIMITS)
def test_pieces_cover_the_text_and_fit(text, limits):
    spans = chunk_text(text, "title", WORDS, limits)
    covered = {position for span in spans for position in range(span.start, span.end)}
    assert [i for i, character in enumerate(text) if not character.isspace() and i not in covered] == []
    for span in spans:
        size = WORDS.count([text[span.start : span.end]])[0]
        assert size == span.tokens
        assert size <= limits.max_tokens - limits.special_tokens
    assert [span.start for span in spans] == sorted(span.start for span in spans)


def test_a_piece_knows_the_headings_above_it():
    text = "# Manual\n\n" + "Intro words here. " * 10 + "\n\n## Faults\n\n" + "Error means gas. " * 10
    spans = chunk_text(text, "Manual", WORDS, ChunkLimits(64, 2, 0))
    assert spans[0].headings == ("Manual",)
    assert spans[-1].headings == ("Manual", "Faults")
    assert context("Manual", spans[-1].headings) == "Manual > Faults"


def test_neighbours_share_whole_sentences():
    text = " ".join(f"Sentence number {n} is here." for n in range(40))
    first, second, *_ = chunk_text(text, "t", WORDS, ChunkLimits(48, 2, 12))
    shared = text[second.start : first.end]
    assert shared.startswith("Sentence")
    assert shared.endswith("here.")


@pytest.mark.parametrize("sentence", ["Sentence is here.\n", "no end ", "x" * 9])
def test_a_text_is_tokenised_a_part_at_a_time(sentence):
    class Watched(Words):
        longest = 0

        def offsets(self, text: str) -> list[tuple[int, int]]:
            self.longest = max(self.longest, len(text))
            return super().offsets(text)

    words, text = Watched(), sentence * 30_000
    spans = chunk_text(text, "t", words, ChunkLimits(64, 2, 0))
    assert words.longest < 100_000
    assert "".join("".join(text[span.start : span.end] for span in spans).split()) == "".join(text.split())
    assert sum(span.tokens for span in spans) == words.count([text])[0]


@pytest.mark.parametrize("middle", ["x" * 100_000, " " * 100_000, "漢" * 100_000], ids=["letters", "spaces", "signs"])
def test_no_piece_is_very_long_whatever_the_tokenizer_takes_for_one_token(middle):
    class Unknowing(Words):
        def offsets(self, text: str) -> list[tuple[int, int]]:
            return [found.span() for found in re.finditer(r"\S+", text)]

    text = f"Before. {middle} After."
    spans = chunk_text(text, "t", Unknowing(), ChunkLimits(64, 2, 8))
    pieces = [text[span.start : span.end] for span in spans]
    assert max(map(len, pieces)) <= 64 * 100
    assert all(pieces)
    assert "".join("".join(pieces).split()) == "".join(text.split())


def test_a_hash_inside_code_is_no_heading():
    text = "# Real\n\n```sh\n# comment\nrun\n```\n"
    assert [span.headings for span in chunk_text(text, "Real", WORDS, ChunkLimits(64, 2, 0))] == [("Real",)]
