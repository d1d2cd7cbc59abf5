"""Prepare an encoder once: load it with sentence-transformers, compile it with OpenVINO, measure both, keep the faster.

Run as a process of its own (``python -m advanced_rag.encoders.prepare MODEL FOLDER THREADS RUNTIME``), so that torch and
what it allocates never enter the service when OpenVINO wins. The whole sentence-transformers pipeline is compiled, with
pooling and normalisation; the result must agree with the original on sample texts, or it is not used.
"""

import hashlib
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from advanced_rag.encoders.base import Vectors
from advanced_rag.encoders.manifest import GRAPH_FILE, TOKENIZER_FILE, Manifest

MIN_AGREEMENT = 0.999
CANNOT_LOAD = 3
_ROUNDS = 3
_SAMPLES = (
    "How do I reset the pump controller?",
    "x",
    "Reisekosten werden innerhalb von 30 Tagen erstattet.",
    "The warranty covers defects in material and workmanship. " * 12,
    "Invoices above the limit need two signatures, one of them from finance. " * 40,
)


def cpu_name() -> str:
    """Return what identifies this machine's processor for a measurement."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def main(model: str, folder: Path, threads: int, runtime: str) -> None:
    """Write the prepared encoder into ``folder``; a manifest for torch stands there before compiling is tried."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    import torch  # noqa: PLC0415 - heavy, and only this process needs it
    from sentence_transformers import SentenceTransformer  # noqa: PLC0415 - likewise

    torch.set_num_threads(threads)
    try:
        pipeline = SentenceTransformer(model, device="cpu", trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        sys.stderr.write(f"{type(error).__name__}\n")
        sys.exit(CANNOT_LOAD)
    pipeline.eval()
    pipeline.tokenizer.backend_tokenizer.save(str(folder / TOKENIZER_FILE))
    original = _encode_with(pipeline)
    manifest = _describe(model, pipeline, torch_ms=_measure(original))
    manifest.save(folder)
    if runtime != "torch":
        _compile(pipeline, manifest, folder)
        _compare(original, manifest, folder, threads, forced=runtime == "openvino")


def _describe(model: str, pipeline: Any, *, torch_ms: float) -> Manifest:
    tokenizer = pipeline.tokenizer
    prompts = pipeline.prompts or {}
    return Manifest(
        model=model,
        fingerprint=_fingerprint(pipeline),
        runtime="torch",
        dimension=int(pipeline.get_embedding_dimension()),
        max_tokens=int(pipeline.max_seq_length or 512),
        inputs=tuple(tokenizer(["x"]).keys()),
        query_prompt=prompts.get("query", ""),
        passage_prompt=prompts.get("document", prompts.get("passage", "")),
        pad_id=int(tokenizer.pad_token_id or 0),
        pad_token=str(tokenizer.pad_token or "[PAD]"),
        cpu=cpu_name(),
        torch_ms=torch_ms,
        openvino_ms=None,
        agreement=None,
    )


def _fingerprint(pipeline: Any) -> str:
    digest = hashlib.sha256(str(pipeline.max_seq_length).encode())
    for name, tensor in sorted(pipeline.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.float().cpu().numpy().tobytes())
    return digest.hexdigest()[:32]


def _encode_with(pipeline: Any) -> Callable[[Sequence[str]], Vectors]:
    def encode(texts: Sequence[str]) -> Vectors:
        found = pipeline.encode(list(texts), prompt="", normalize_embeddings=True, show_progress_bar=False)
        return np.asarray(found, dtype=np.float32)

    return encode


def _compile(pipeline: Any, manifest: Manifest, folder: Path) -> None:
    import openvino  # noqa: PLC0415 - heavy, and only this process compiles
    import torch  # noqa: PLC0415 - likewise

    class Flat(torch.nn.Module):
        """The pipeline as one function of tensors, which is what torch.export understands."""

        def __init__(self) -> None:
            super().__init__()
            self.stages = torch.nn.ModuleList(pipeline)

        def forward(self, *tensors: Any) -> Any:
            features = dict(zip(manifest.inputs, tensors, strict=True))
            for stage in self.stages:
                features = stage(features)
            return torch.nn.functional.normalize(features["sentence_embedding"], p=2, dim=1)

    example = tuple(torch.ones(2, 16, dtype=torch.long) for _ in manifest.inputs)
    batch = torch.export.Dim("batch", min=1, max=4096)
    length = torch.export.Dim("length", min=2, max=manifest.max_tokens)
    shapes = {"tensors": tuple({0: batch, 1: length} for _ in manifest.inputs)}
    with torch.no_grad():
        program = torch.export.export(Flat(), example, dynamic_shapes=shapes, strict=False)
    openvino.save_model(openvino.convert_model(program), folder / GRAPH_FILE, compress_to_fp16=False)


def _compare(
    original: Callable[[Sequence[str]], Vectors], manifest: Manifest, folder: Path, threads: int, *, forced: bool
) -> None:
    from advanced_rag.encoders.openvino_runtime import OpenVinoEncoder  # noqa: PLC0415 - needs what was just written

    compiled = OpenVinoEncoder(folder, manifest, threads=threads, streams=1)
    agreement = float((compiled.encode(_SAMPLES) * original(_SAMPLES)).sum(axis=1).min())
    openvino_ms = _measure(compiled.encode)
    wins = agreement >= MIN_AGREEMENT and (forced or openvino_ms < manifest.torch_ms)
    replace(manifest, runtime="openvino" if wins else "torch", openvino_ms=openvino_ms, agreement=agreement).save(folder)


def _measure(encode: Callable[[Sequence[str]], Vectors]) -> float:
    """Return milliseconds for one query and one batch of passages: the best of some rounds."""
    best = float("inf")
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        encode(_SAMPLES[:1])
        encode(_SAMPLES)
        best = min(best, (time.perf_counter() - started) * 1000)
    return round(best, 2)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
