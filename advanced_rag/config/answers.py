"""How questions are answered."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from advanced_rag.config.base import Seconds, Section

DomainName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
Term = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]


class EncoderSettings(Section):
    """The encoder of the semantic leg, and how encoding is scheduled."""

    model: str = "all-MiniLM-L6-v2"
    runtime: Literal["auto", "openvino", "torch"] = "auto"
    device: str = "cpu"
    threads: int = Field(0, ge=0, le=256)
    streams: int = Field(4, ge=1, le=64)
    batch_tokens: int = Field(1024, ge=64)
    query_batch: int = Field(32, ge=1, le=256)
    query_queue: int = Field(512, ge=1)
    cache_entries: int = Field(10_000, ge=1)
    cache_ttl_s: int = Field(3600, ge=1)


class VisualSettings(Section):
    """Retrieval of pages by what they look like; no model means none."""

    model: str | None = None
    device: str = "cpu"
    batch_pages: int = Field(4, ge=1, le=64)
    longest_side_px: int = Field(1024, ge=224, le=4096)
    max_pages: int = Field(500, ge=1, le=10_000)
    candidates: int = Field(100, ge=1, le=1000)
    query_timeout_s: Seconds = 5.0


class DomainSettings(Section):
    """A field of knowledge; without an encoder of its own it uses the semantic one."""

    encoder: str | None = None
    lexicon: list[Term] = Field(default=[], max_length=10_000)


class WeightSettings(Section):
    """How much each leg counts in fusion."""

    semantic: float = Field(0.5, ge=0, le=1)
    sparse: float = Field(0.5, ge=0, le=1)
    domain: float = Field(0.5, ge=0, le=1)
    visual: float = Field(0.5, ge=0, le=1)


class RetrievalSettings(Section):
    """How many candidates each leg finds and how they become hits."""

    candidates: int = Field(50, ge=1, le=1000)
    weights: WeightSettings = WeightSettings()
    mmr_lambda: float = Field(0.7, ge=0, le=1)
    rerank_model: str | None = None
    rerank_candidates: int = Field(30, ge=1, le=200)
    rerank_weight: float = Field(0.5, ge=0, le=1)
    rerank_timeout_s: Seconds = 5.0


class ChatSettings(Section):
    """How answers are made."""

    passages: int = Field(6, ge=1, le=20)
    history_messages: int = Field(10, ge=0, le=50)
    sentences: int = Field(3, ge=1, le=10)
    min_confidence: float = Field(0.25, ge=0, le=1)


class ProviderSettings(Section):
    """A language model behind an OpenAI-compatible API; its key stands in the environment variable named here."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")
    base_url: str
    model: str
    api_key_env: str | None = None
    timeout_s: Seconds = 60.0
    max_tokens: int = Field(1024, ge=1, le=32768)


class LlmSettings(Section):
    """Language models, tried in order; none means extractive answers."""

    providers: list[ProviderSettings] = Field([])


class FeatureSettings(Section):
    """Switches for whole capabilities."""

    reranking: bool = True
    sparse: bool = True
    domain: bool = True
    mmr: bool = False
    cache: bool = True
