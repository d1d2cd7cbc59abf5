"""An encoder compiled by OpenVINO: the fast way, without torch in the process."""

import queue
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import openvino
import tokenizers
from numpy.typing import NDArray

from advanced_rag.encoders.base import Vectors
from advanced_rag.encoders.manifest import GRAPH_FILE, TOKENIZER_FILE, Manifest
from advanced_rag.encoders.tokenizing import FastTokenizer
from advanced_rag.exceptions import EncoderError

_PAD_TO = 8  # tokens: each new shape costs the runtime as much as a query, so there are few


class OpenVinoEncoder:
    """Runs the compiled graph of a sentence-transformers pipeline; the CPU chooses bf16 where it has it."""

    runtime = "openvino"

    def __init__(self, folder: Path, manifest: Manifest, *, threads: int, streams: int) -> None:
        self.fingerprint = manifest.fingerprint
        self.dimension = manifest.dimension
        self.max_tokens = manifest.max_tokens
        self.tokenizer = FastTokenizer(folder / TOKENIZER_FILE)
        self._manifest = manifest
        self._batches = tokenizers.Tokenizer.from_file(str(folder / TOKENIZER_FILE))
        self._batches.enable_truncation(manifest.max_tokens)
        multiple = _PAD_TO if manifest.max_tokens % _PAD_TO == 0 else None
        self._batches.enable_padding(pad_id=manifest.pad_id, pad_token=manifest.pad_token, pad_to_multiple_of=multiple)
        model = openvino.Core().compile_model(
            folder / GRAPH_FILE, "CPU", {"NUM_STREAMS": streams, "INFERENCE_NUM_THREADS": threads}
        )
        self._requests: queue.SimpleQueue[openvino.InferRequest] = queue.SimpleQueue()
        for _ in range(streams):
            self._requests.put(model.create_infer_request())
        self.encode(["warm up"])  # the binding's first call ever must be alone: two at once wait for each other for good

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """Encode questions; (n, dimension), each row of length 1."""
        return self.encode([self._manifest.query_prompt + text for text in texts])

    def encode_passages(self, texts: Sequence[str]) -> Vectors:
        """Encode passages; (n, dimension), each row of length 1."""
        return self.encode([self._manifest.passage_prompt + text for text in texts])

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Encode texts as they are; raises EncoderError when the graph fails or returns anything but finite numbers."""
        found = self._batches.encode_batch_fast(list(texts))
        tensors = {
            "input_ids": np.array([item.ids for item in found], dtype=np.int64),
            "attention_mask": np.array([item.attention_mask for item in found], dtype=np.int64),
            "token_type_ids": np.array([item.type_ids for item in found], dtype=np.int64),
        }
        vectors = self._infer([tensors[name] for name in self._manifest.inputs])
        if not np.isfinite(vectors).all():
            raise EncoderError("the encoder returned numbers that are not finite")
        return vectors

    def _infer(self, tensors: list[NDArray[np.int64]]) -> Vectors:
        request = self._requests.get()
        try:
            return np.array(request.infer(tensors)[0], dtype=np.float32)
        except RuntimeError as error:
            raise EncoderError("the encoder failed") from error
        finally:
            self._requests.put(request)
