"""Diagnosis: how dense, how repetitive, in which language and of which domain a text is; counted, not guessed.

Shannon: A Mathematical Theory of Communication, 1948, for entropy; Johnson: Studies in Language Behavior, 1944, for the
mean type-token ratio of segments.
"""

import math
import re
import zlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from advanced_rag.models.diagnostics import Diagnostics

_SAMPLE_CHARS, _SAMPLE_PARTS = 32_768, 4
_LANGUAGE_CHARS = 2_000
_COMPRESSED_BYTES = 32_768
_WINDOW_WORDS = 100
_MIN_CONFIDENCE = 0.3
_UNDETERMINED = "und"
_SCRIPTS_WITHOUT_SPACES = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"  # each character stands for a word
_WORD = re.compile(f"[{_SCRIPTS_WITHOUT_SPACES}]|[^\\W_{_SCRIPTS_WITHOUT_SPACES}]+")


class Lexicons:
    """The terms of all domains, compiled into one matcher; a term is one word or several, case does not matter."""

    def __init__(self, terms: Mapping[str, Iterable[str]]) -> None:
        self._domains = tuple(terms)
        self._owners: dict[tuple[str, ...], list[str]] = {}
        lengths: dict[str, set[int]] = {}
        for domain, entries in terms.items():
            for term in {tuple(_words(entry)) for entry in entries} - {()}:
                self._owners.setdefault(term, []).append(domain)
                lengths.setdefault(term[0], set()).add(len(term))
        self._lengths = {first: sorted(found, reverse=True) for first, found in lengths.items()}

    def densities(self, words: Sequence[str]) -> dict[str, float]:
        """Return the share of the words that terms cover, by domain; the longest term counts, and no word twice."""
        covered = dict.fromkeys(self._domains, 0)
        free_from = dict.fromkeys(self._domains, 0)
        for start, word in enumerate(words):
            for length in self._lengths.get(word, ()):
                for domain in self._owners.get(tuple(words[start : start + length]), ()):
                    if start >= free_from[domain]:
                        covered[domain] += length
                        free_from[domain] = start + length
        return {domain: count / max(len(words), 1) for domain, count in covered.items()}


def diagnose(text: str, lexicons: Lexicons) -> Diagnostics:
    """Return the figures of a text; the time it takes is bounded, however long the text is."""
    sample = _spread(text, _SAMPLE_CHARS)
    words = _words(sample)
    counts = Counter(words)
    return Diagnostics(
        characters=len(text),
        words=len(words),
        vocabulary=len(counts),
        type_token_ratio=_type_token_ratio(words),
        word_entropy=_entropy(counts.values()),
        character_entropy=_entropy(Counter(sample).values()),
        redundancy=_redundancy(sample),
        language=_language(_spread(text, _LANGUAGE_CHARS)) if words else _UNDETERMINED,
        domains=lexicons.densities(words),
    )


def _spread(text: str, most: int) -> str:
    """Return a text, or pieces from its start to its end that are ``most`` characters together."""
    if len(text) <= most:
        return text
    size = most // _SAMPLE_PARTS
    step = (len(text) - size) // (_SAMPLE_PARTS - 1)
    return "\n".join(text[start : start + size] for start in (part * step for part in range(_SAMPLE_PARTS)))


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _entropy(counts: Collection[int]) -> float:
    """Return bits a symbol; fsum, so that the order of the counts does not show in the last digit."""
    total = sum(counts)
    return math.fsum(count / total * math.log2(total / count) for count in counts)


def _redundancy(text: str) -> float:
    raw = text.encode(errors="replace")[:_COMPRESSED_BYTES]
    return max(0.0, 1 - len(zlib.compress(raw)) / len(raw)) if raw else 0.0


def _type_token_ratio(words: Sequence[str]) -> float:
    whole = max(len(words) // _WINDOW_WORDS, 1)
    windows = [words[start : start + _WINDOW_WORDS] for start in range(0, whole * _WINDOW_WORDS, _WINDOW_WORDS)]
    return math.fsum(len(set(window)) / max(len(window), 1) for window in windows) / whole


def _language(text: str) -> str:
    language: str = _identifier().classify(text)[0]
    return language


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # noqa: PLC0415 - half a second and 75 MiB: where asked for

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True, min_confidence=_MIN_CONFIDENCE)
