"""From page images and questions to vectors that can be compared: late-interaction models such as ColPali and ColQwen2.

sentence-transformers loads them: its own MultiVectorEncoder folders, and the ``...ForRetrieval`` models of transformers. The
model's own processor puts the visual prompt before a page, and query prefix and augmentation tokens around a question.
"""

import hashlib
import io
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import orjson
from PIL.Image import DecompressionBombError, DecompressionBombWarning, Image
from PIL.Image import open as open_image

from advanced_rag.config import VisualSettings
from advanced_rag.encoders.base import Vectors
from advanced_rag.encoders.load import locate_model
from advanced_rag.exceptions import EncoderError, StartupError
from advanced_rag.file_errors import UnrenderableError

T = TypeVar("T", str, Image)
Picture = Image

_TINY = np.float32(1e-12)
_TRAINED_TYPES = {"MultiVectorEncoder", "ColBERT"}
_TRAINED_ARCHITECTURE = "ForRetrieval"


class VisualEncoder:
    """Turns pages and questions into unit vectors, several each; callers in other threads wait for their turn."""

    def __init__(self, model: Any, *, batch_pages: int) -> None:
        self.dimension = int(model.get_embedding_dimension())
        self.fingerprint = _fingerprint(model)
        self._model = model
        self._batch_pages = batch_pages
        self._turn = threading.Lock()

    def pages(self, images: Sequence[Image]) -> list[Vectors]:
        """Encode pages; one array each, (vectors, dimension). Raises EncoderError."""

        def encode(batch: Sequence[Image], **options: Any) -> list[Any]:
            found: list[Any] = self._model.encode_document([image.convert("RGB") for image in batch], **options)
            return found

        return self._encode(images, encode)

    def queries(self, texts: Sequence[str]) -> list[Vectors]:
        """Encode questions; one array each, (vectors, dimension). Raises EncoderError."""
        return self._encode(texts, self._model.encode_query)

    def _encode(self, inputs: Sequence[T], encode: Callable[..., list[Any]]) -> list[Vectors]:
        found: list[Any] = []
        for start in range(0, len(inputs), self._batch_pages):
            batch = list(inputs[start : start + self._batch_pages])
            try:
                with self._turn:
                    found += encode(batch, batch_size=len(batch), convert_to_numpy=True, show_progress_bar=False)
            except (RuntimeError, ValueError, OSError) as error:  # out of memory; an image of no use, or cut off
                raise EncoderError("the visual encoder failed") from error
        return [_unit(np.asarray(vectors, dtype=np.float32)) for vectors in found]


def opened(jpeg: bytes, longest_side_px: int) -> Image:
    """Return a page that was drawn elsewhere, where a stranger's file may have been in charge.

    Raises UnrenderableError unless it is a JPEG of the size that was asked for.
    """
    try:
        image = open_image(io.BytesIO(jpeg), formats=("JPEG",))
        if max(image.size) > longest_side_px:
            raise UnrenderableError
        image.load()
    except (OSError, SyntaxError, ValueError, DecompressionBombError, DecompressionBombWarning):
        raise UnrenderableError from None
    return image


def load_visual_encoder(path: str, settings: VisualSettings) -> VisualEncoder:
    """Load the model in a folder, or one that a hub name names.

    Raises StartupError when there is none, it cannot be loaded, was not trained for this, or reads no images.
    """
    source = locate_model(path, "visual.model")
    try:
        model = _load(source, settings.device) if _is_trained(source) else None
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        raise StartupError(f"visual.model: {path} cannot be loaded ({type(error).__name__})") from error
    if model is None:
        raise StartupError(f"visual.model: {path} is no late-interaction model")
    if "image" not in model.modalities:
        raise StartupError(f"visual.model: {path} reads no images")
    return VisualEncoder(model, batch_pages=settings.batch_pages)


def _is_trained(source: str) -> bool:
    """Tell whether a model is what we need: to any other, sentence-transformers adds a layer of random weights."""
    pipeline, model = _config(source, "config_sentence_transformers.json"), _config(source, "config.json")
    if not pipeline and not model:
        raise FileNotFoundError(source)
    architectures = model.get("architectures") or []
    return pipeline.get("model_type") in _TRAINED_TYPES or any(
        name.endswith(_TRAINED_ARCHITECTURE) for name in architectures
    )


def _load(source: str, device: str) -> Any:
    from sentence_transformers import MultiVectorEncoder  # noqa: PLC0415 - torch is heavy: only where a model is set

    is_local = Path(source).is_dir()
    return MultiVectorEncoder(source, device=device, trust_remote_code=False, local_files_only=is_local)


def _config(source: str, name: str) -> dict[str, Any]:
    from sentence_transformers.util import load_file_path  # noqa: PLC0415 - as above

    path = load_file_path(source, name, local_files_only=Path(source).is_dir())
    found: dict[str, Any] = orjson.loads(Path(path).read_bytes()) if path else {}
    return found


def _fingerprint(model: Any) -> str:
    """Return what identifies the vectors: the weights, and how the processor prepares what they see."""
    import torch  # noqa: PLC0415 - as above

    digest = hashlib.sha256(repr(sorted(model.prompts.items())).encode())
    digest.update(model.processor.to_json_string().encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:32]


def _unit(vectors: Vectors) -> Vectors:
    if not np.isfinite(vectors).all():
        raise EncoderError("the visual encoder returned numbers that are not finite")
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Vectors = vectors / np.maximum(lengths, _TINY)
    return unit
