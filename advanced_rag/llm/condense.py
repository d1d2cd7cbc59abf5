"""Follow-up questions: what to search for when a question leans on the one before."""

import re
from collections.abc import Sequence

from advanced_rag.models.chat import Message

_LEANS = re.compile(
    r"\b(it|its|that|this|these|those|they|them|their|he|she|his|her|there|one|ones|same|else|also|instead)\b"
    r"|^\s*(and|what about|how about|why|und|was ist mit)\b",
    re.IGNORECASE,
)
_SHORT_WORDS = 4


def condense(question: str, history: Sequence[Message]) -> str:
    """Return a question that stands alone: with the last one in front where it leans on it."""
    asked = [message.content for message in history if message.role == "user"]
    if not asked or not (_LEANS.search(question) or len(question.split()) <= _SHORT_WORDS):
        return question
    return f"{asked[-1]} {question}"
