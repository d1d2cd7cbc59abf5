"""An encoder compiled by OpenVINO: the fast way, without torch in the process."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import openvino
import tokenizers

from advanced_rag.encoders.base import Vectors
from advanced_rag.encoders.manifest import GRAPH_FILE, TOKENIZER_FILE, Manifest
from advanced_rag.encoders.tokenizing import FastTokenizer
from advanced_rag.exceptions import EncoderError


class OpenVinoEncoder:
    """Runs the compiled graph of a sentence-transformers pipeline; the CPU chooses bf16 where it has it."""

    runtime = "openvino"

    def __init__(self, folder: Path, manifest: Manifest, *, threads: int) -> None:
        self.fingerprint = manifest.fingerprint
        self.dimension = manifest.dimension
        self.max_tokens = manifest.max_tokens
        self.tokenizer = FastTokenizer(folder / TOKENIZER_FILE)
        self._manifest = manifest
        self._batches = tokenizers.Tokenizer.from_file(str(folder / TOKENIZER_FILE))
        self._batches.enable_truncation(manifest.max_tokens)
        self._batches.enable_padding(pad_id=manifest.pad_id, pad_token=manifest.pad_token)
        model = openvino.Core().compile_model(
            folder / GRAPH_FILE, "CPU", {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
        )
        self._request = model.create_infer_request()

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
        try:
            output = self._request.infer([tensors[name] for name in self._manifest.inputs])[0]
        except RuntimeError as error:
            raise EncoderError("the encoder failed") from error
        vectors: Vectors = np.array(output, dtype=np.float32)
        if not np.isfinite(vectors).all():
            raise EncoderError("the encoder returned numbers that are not finite")
        return vectors
