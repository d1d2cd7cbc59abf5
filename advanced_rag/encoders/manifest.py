"""What is known of a prepared encoder, kept beside its files."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import orjson

MANIFEST_FILE = "manifest.json"
TOKENIZER_FILE = "tokenizer.json"
GRAPH_FILE = "encoder.xml"

RuntimeName = Literal["openvino", "torch"]


@dataclass(frozen=True, slots=True)
class Manifest:
    """An encoder that was loaded once, measured, and prepared for the faster runtime."""

    model: str
    fingerprint: str
    runtime: RuntimeName
    dimension: int
    max_tokens: int
    inputs: tuple[str, ...]
    query_prompt: str
    passage_prompt: str
    pad_id: int
    pad_token: str
    cpu: str
    torch_ms: float
    openvino_ms: float | None
    agreement: float | None

    def save(self, folder: Path) -> None:
        """Write the manifest into the folder of the prepared encoder."""
        (folder / MANIFEST_FILE).write_bytes(orjson.dumps(asdict(self), option=orjson.OPT_INDENT_2))

    @classmethod
    def load(cls, folder: Path) -> "Manifest | None":
        """Read the manifest of a prepared encoder; None where there is none that this version understands."""
        try:
            fields = orjson.loads((folder / MANIFEST_FILE).read_bytes())
            return cls(**{**fields, "inputs": tuple(fields["inputs"])})
        except (OSError, orjson.JSONDecodeError, TypeError, KeyError):
            return None
