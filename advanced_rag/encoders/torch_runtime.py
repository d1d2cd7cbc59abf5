"""An encoder run by sentence-transformers on torch: the way that always works, and the one for a GPU."""

import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from advanced_rag.encoders.base import Vectors
from advanced_rag.encoders.manifest import TOKENIZER_FILE, Manifest
from advanced_rag.encoders.tokenizing import FastTokenizer
from advanced_rag.exceptions import EncoderError


class TorchEncoder:
    """Runs a sentence-transformers model as it is."""

    runtime = "torch"

    def __init__(self, folder: Path, manifest: Manifest, *, threads: int, device: str) -> None:
        torch.set_num_threads(threads)
        self.fingerprint = manifest.fingerprint
        self.dimension = manifest.dimension
        self.max_tokens = manifest.max_tokens
        self.tokenizer = FastTokenizer(folder / TOKENIZER_FILE)
        self._model = SentenceTransformer(manifest.model, device=device, trust_remote_code=False)
        self._turn = threading.Lock()

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """Encode questions; (n, dimension), each row of length 1."""
        return self._encode(texts, self._model.encode_query)

    def encode_passages(self, texts: Sequence[str]) -> Vectors:
        """Encode passages; (n, dimension), each row of length 1."""
        return self._encode(texts, self._model.encode_document)

    def _encode(self, texts: Sequence[str], encode: object) -> Vectors:
        try:
            with self._turn:
                found = encode(list(texts), normalize_embeddings=True, show_progress_bar=False)  # type: ignore[operator]
        except RuntimeError as error:
            raise EncoderError("the encoder failed") from error
        vectors: Vectors = np.asarray(found, dtype=np.float32)
        if not np.isfinite(vectors).all():
            raise EncoderError("the encoder returned numbers that are not finite")
        return vectors
