"""What an encoder is to the rest of the service."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]


class Tokenizer(Protocol):
    """The tokenizer of an encoder, as chunking needs it."""

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """Return the character span of each token of a text, special tokens left out."""
        ...

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text, special tokens left out."""
        ...


class Encoder(Protocol):
    """Turns texts into unit vectors; any number of threads may call it, each waits for its turn."""

    @property
    def fingerprint(self) -> str:
        """Identifies the weights: vectors of different fingerprints must not be compared."""
        ...

    @property
    def runtime(self) -> str:
        """What computes: openvino or torch."""
        ...

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        ...

    @property
    def max_tokens(self) -> int:
        """Tokens of a text that count, special tokens included; the rest is cut off."""
        ...

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer the encoder reads with."""
        ...

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """Encode questions; (n, dimension), each row of length 1."""
        ...

    def encode_passages(self, texts: Sequence[str]) -> Vectors:
        """Encode passages; (n, dimension), each row of length 1."""
        ...
