"""How likely it is that some passages answer a question."""

import re
from collections.abc import Sequence

_WORD = re.compile(r"\w+")
_COMMON = frozenset(
    [
        "a",
        "an",
        "and",
        "are",
        "as",
        "at",
        "be",
        "been",
        "but",
        "by",
        "can",
        "could",
        "did",
        "do",
        "does",
        "for",
        "from",
        "had",
        "has",
        "have",
        "how",
        "i",
        "if",
        "in",
        "into",
        "is",
        "it",
        "its",
        "long",
        "many",
        "may",
        "me",
        "much",
        "must",
        "my",
        "no",
        "not",
        "of",
        "on",
        "one",
        "or",
        "our",
        "shall",
        "should",
        "so",
        "some",
        "than",
        "that",
        "the",
        "their",
        "them",
        "then",
        "there",
        "these",
        "they",
        "this",
        "to",
        "was",
        "we",
        "were",
        "what",
        "when",
        "where",
        "which",
        "who",
        "whom",
        "whose",
        "why",
        "will",
        "with",
        "would",
        "you",
        "your",
        "und",
        "der",
        "die",
        "das",
        "ist",
        "ein",
        "eine",
        "wie",
        "was",
        "wer",
        "wo",
        "wann",
        "wird",
        "werden",
        "sind",
        "im",
        "am",
        "zu",
        "den",
        "dem",
        "des",
        "mit",
        "von",
        "auf",
    ]
)
_LOW, _HIGH = 0.25, 0.65


def confidence(question: str, texts: Sequence[str], similarity: float) -> float:
    """Return 0 to 1 from the best cosine similarity and the share of the question's words that the passages hold.

    Similarity alone confuses a question that is near the subject with one that is answered.
    """
    near = min(max((similarity - _LOW) / (_HIGH - _LOW), 0.0), 1.0)
    return 0.6 * near + 0.4 * coverage(question, texts)


def coverage(question: str, texts: Sequence[str]) -> float:
    """Return the share of the telling words of a question that stand in the texts, cut to their stems."""
    wanted = words(question)
    if not wanted:
        return 0.0
    found = set().union(*(words(text) for text in texts)) if texts else set()
    return len(wanted & found) / len(wanted)


def words(text: str) -> set[str]:
    """Return the telling words of a text, crudely stemmed."""
    return {word[:6] for word in _WORD.findall(text.lower()) if word not in _COMMON}
