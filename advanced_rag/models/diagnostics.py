"""What can be told of a text by counting."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Diagnostics:
    """Figures of one text; of a long one, of a sample spread over it.

    Entropy, redundancy and vocabulary grow with the length of a text: compare texts, or pieces, of like length.
    ``type_token_ratio`` is a mean over windows of fixed size and does not.
    """

    characters: int  # of the whole text
    words: int
    vocabulary: int  # distinct words
    type_token_ratio: float  # 0 to 1: distinct words in a hundred
    word_entropy: float  # bits a word
    character_entropy: float  # bits a character
    redundancy: float  # 0 to 1: the share that compression saves
    language: str  # ISO 639, "und" where nothing can be told
    domains: Mapping[str, float] = field(default_factory=dict)  # 0 to 1: the share of words a domain's lexicon covers
