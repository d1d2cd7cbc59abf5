"""Reranking by a model that reads query and passage together: a CrossEncoder, or late interaction (MultiVectorEncoder)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from advanced_rag.exceptions import RerankerError, StartupError

_LATE_INTERACTION = "MultiVectorEncoder"


class Reranker(Protocol):
    """Scores passages for a query; called from one thread at a time."""

    def score(self, query: str, passages: Sequence[str]) -> NDArray[np.float32]:
        """Return one score a passage, the higher the better, on any scale; raises RerankerError."""
        ...


def load_reranker(model: str) -> Reranker:
    """Load the model in a folder, or one that a hub name names; its kind is read from its configuration.

    Raises StartupError when there is none or it cannot be loaded.
    """
    from sentence_transformers import CrossEncoder, MultiVectorEncoder  # noqa: PLC0415 - heavy: only where one is set

    try:
        if _is_late_interaction(model):
            return _LateInteraction(MultiVectorEncoder(model, device="cpu", trust_remote_code=False))
        return _Cross(CrossEncoder(model, device="cpu", trust_remote_code=False))
    except (OSError, ValueError, KeyError) as error:
        raise StartupError(f"retrieval.rerank_model: {model} cannot be loaded ({type(error).__name__})") from error


def blend(fused: NDArray[np.float32], reranked: NDArray[np.float32], weight: float) -> NDArray[np.float32]:
    """Return the final scores: both inputs scaled to 0 to 1, the reranker counting ``weight``."""
    return (1 - weight) * _min_max(fused) + weight * _min_max(reranked)


def _min_max(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    low, high = scores.min(), scores.max()
    return (scores - low) / (high - low) if high > low else np.ones_like(scores)


def _is_late_interaction(model: str) -> bool:
    config = Path(model) / "config_sentence_transformers.json"
    return config.is_file() and _LATE_INTERACTION in config.read_text(encoding="utf-8")


class _Cross:
    def __init__(self, model: Any) -> None:
        self._model = model

    def score(self, query: str, passages: Sequence[str]) -> NDArray[np.float32]:
        try:
            scores = self._model.predict([(query, passage) for passage in passages], show_progress_bar=False)
        except RuntimeError as error:
            raise RerankerError("the reranker failed") from error
        return np.asarray(scores, dtype=np.float32).reshape(len(passages))


class _LateInteraction:
    def __init__(self, model: Any) -> None:
        self._model = model

    def score(self, query: str, passages: Sequence[str]) -> NDArray[np.float32]:
        """MaxSim (Khattab, Zaharia: ColBERT, SIGIR 2020): for each query token its best passage token, summed."""
        try:
            asked = self._model.encode_query([query], convert_to_numpy=True)[0]
            read = self._model.encode_document(list(passages), convert_to_numpy=True)
        except RuntimeError as error:
            raise RerankerError("the reranker failed") from error
        return np.array([(asked @ tokens.T).max(axis=1).sum() for tokens in read], dtype=np.float32)
