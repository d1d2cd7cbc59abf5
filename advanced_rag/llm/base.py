"""What makes answers."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from advanced_rag.models.chat import Message
from advanced_rag.models.retrieval import Hit


@dataclass(frozen=True, slots=True)
class Question:
    """A question with what an answer may be made from."""

    text: str
    passages: Sequence[Hit]
    history: Sequence[Message]
    cache_scope: str  # keeps what is remembered of different users apart


class Answerer(Protocol):
    """Answers from passages, marking what it took from passage n with [n]."""

    @property
    def name(self) -> str:
        """The name the answer tells."""
        ...

    def stream(self, question: Question) -> AsyncIterator[str]:
        """Yield the answer piece by piece; raises ProviderError."""
        ...
