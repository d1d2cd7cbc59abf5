"""Answers without a language model: the sentences of the passages that are nearest to the question, cited."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Protocol

import numpy as np
import sentencex
from numpy.typing import NDArray

from advanced_rag.llm.base import Question

_MAX_SENTENCES = 48
_SHORTEST_CHARS = 12
_LONGEST_CHARS = 600
_NEAR = 0.8  # a sentence joins the best one when it is at least this near, relative to it
_MARKUP = re.compile(r"^(#{1,6}\s+|[-*+]\s+|\d+\.\s+|\|)|\*\*")


class Embedder(Protocol):
    """What encodes the question and the sentences: both with the same encoder."""

    def query(self, text: str, scope: str) -> Awaitable[NDArray[np.float32]]:
        """Return the unit vector of a question."""
        ...

    def passages(self, texts: Sequence[str]) -> Awaitable[NDArray[np.float32]]:
        """Return the unit vectors of texts."""
        ...


class ExtractiveAnswerer:
    """Picks sentences; invents nothing."""

    name = "extractive"

    def __init__(self, embedder: Callable[[], Embedder], *, sentences: int) -> None:
        self._embedder = embedder
        self._sentences = sentences

    async def stream(self, question: Question) -> AsyncIterator[str]:
        """Yield the best sentences, each followed by the mark of its passage."""
        candidates = _candidates(question)
        if not candidates:
            return
        embedder = self._embedder()
        asked = await embedder.query(question.text, question.cache_scope)
        vectors = await embedder.passages([text for text, _ in candidates])
        scores = vectors @ asked
        for position, index in enumerate(self._pick(scores)):
            text, n = candidates[index]
            yield f"{' ' if position else ''}{text} [{n}]"

    def _pick(self, scores: NDArray[np.float32]) -> list[int]:
        best = np.argsort(-scores, kind="stable")[: self._sentences]
        return [int(index) for index in best if scores[index] >= _NEAR * scores[best[0]]]


def _candidates(question: Question) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    for n, hit in enumerate(question.passages, start=1):
        for line in _paragraphs(hit.chunk.text):
            for sentence in sentencex.segment("en", line):
                text = _MARKUP.sub("", sentence.strip()).replace("[", "(").replace("]", ")").strip(" |")
                if _SHORTEST_CHARS <= len(text) <= _LONGEST_CHARS and not sentence.lstrip().startswith("#"):
                    found.append((text, n))
    return found[:_MAX_SENTENCES]


def _paragraphs(text: str) -> list[str]:
    """Join the wrapped lines of paragraphs; headings, list items and table rows stand alone."""
    joined = re.sub(r"\n(?![\s]*(?:[-*+#|]|\d+\.|\n))", " ", text)
    return [line for line in joined.split("\n") if line.strip()]
