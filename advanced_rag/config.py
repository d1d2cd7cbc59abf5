"""Settings: every key has a type, a bound and a unit in its name. Where they come from: environment.py."""

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, IPvAnyNetwork, SecretStr, StringConstraints
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, YamlConfigSettingsSource

from advanced_rag.models.identity import ROLES, Scope

ENV_PREFIX = "RAG_"

RoleName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]
DomainName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
LanguageCode = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_]{2,32}$")]
Rate = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,6}/(second|minute|hour|day)$")]
Term = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
Seconds = Annotated[float, Field(gt=0, le=3600)]
HostPattern = Annotated[str, StringConstraints(pattern=r"^(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$")]


class Section(BaseModel):
    """A group of settings; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ServerSettings(Section):
    """The HTTP server."""

    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)
    allow_open_network: bool = False
    trusted_proxies: list[str] = []
    max_body_bytes: int = Field(1_048_576, ge=1024)
    ingest_max_body_bytes: int = Field(67_108_864, ge=1024)
    max_header_bytes: int = Field(32_768, ge=1024)
    header_timeout_s: Seconds = 10.0
    body_timeout_s: Seconds = 10.0
    body_bytes_per_s: int = Field(10_240, ge=1)
    write_timeout_s: Seconds = 30.0
    request_timeout_s: Seconds = 30.0
    shutdown_delay_s: float = Field(0.0, ge=0, le=60)
    shutdown_timeout_s: Seconds = 30.0
    allowed_origins: list[str] = []
    websockets_per_caller: int = Field(10, ge=1)
    websocket_lifetime_s: float = Field(3600.0, ge=1, le=86_400)
    docs: bool = True
    metrics: bool = True
    profiling: bool = False


class ClaimSettings(Section):
    """What the claims of a token are called."""

    tenant: str = "tenant"
    user: str = "sub"
    groups: str = "groups"
    roles: str = "roles"
    scopes: str = "scope"


class JwtSettings(Section):
    """Tokens of an identity provider; no issuer means that none are taken."""

    issuer: str | None = None
    audience: str | None = None
    algorithms: list[Literal["HS256", "RS256", "ES256"]] = Field(default=["RS256", "ES256"], min_length=1)
    secret: SecretStr | None = Field(None, min_length=32)
    public_key_file: Path | None = None
    jwks_url: str | None = Field(None, pattern=r"^https?://")
    leeway_s: float = Field(30.0, ge=0, le=300)
    max_lifetime_s: int = Field(86_400, ge=60)
    require: list[str] = Field(default=[], max_length=16)
    tenant: str | None = None
    claims: ClaimSettings = ClaimSettings()


class AuthSettings(Section):
    """Who may do what."""

    mode: Literal["disabled", "required"] = "disabled"
    secret: SecretStr | None = Field(None, min_length=32)
    roles: dict[RoleName, list[Scope]] = Field(default={}, max_length=32)
    jwt: JwtSettings = JwtSettings()
    registration: Literal["closed", "invited", "open"] = "closed"
    registration_tenant: str = "default"
    registration_role: RoleName = "writer"
    access_token_s: int = Field(900, ge=60, le=3600)
    token_in_url: bool = False
    refresh_token_s: int = Field(2_592_000, ge=3600, le=31_536_000)

    @property
    def granted(self) -> dict[str, frozenset[str]]:
        """The scopes of every role: those there always are, and those of the installation."""
        return {**ROLES, **{role: frozenset(scopes) for role, scopes in self.roles.items()}}


class AuditSettings(Section):
    """What is written down of who did what."""

    enabled: bool = True
    reads: bool = False
    retention_days: int = Field(365, ge=1, le=36_500)


class AdmissionSettings(Section):
    """Requests in work at once, by kind; beyond them 503."""

    retrieve: int = Field(40, ge=1)
    chat: int = Field(40, ge=1)
    ingest: int = Field(32, ge=1)
    other: int = Field(100, ge=1)


class DatabaseSettings(Section):
    """The SQL database; no URL means SQLite in the data directory."""

    url: SecretStr | None = None
    pool_size: int = Field(5, ge=1, le=100)
    pool_max_overflow: int = Field(5, ge=0, le=100)
    pool_wait_s: Seconds = 2.0
    pool_recycle_s: int = Field(1800, ge=1)
    pool_pre_ping: bool = True
    connect_timeout_s: int = Field(3, ge=1, le=60)
    timeout_s: Seconds = 10.0

    @property
    def connections(self) -> int:
        """The connections there may be at once."""
        return self.pool_size + self.pool_max_overflow


class MilvusSettings(Section):
    """The vector store; no URI means Milvus Lite in the data directory."""

    uri: str | None = None
    token: SecretStr | None = None
    collection_prefix: str = Field("", pattern=r"^[A-Za-z0-9_]{0,32}$")
    timeout_s: Seconds = 5.0
    write_timeout_s: Seconds = 30.0
    attempts: int = Field(3, ge=1, le=5)
    analyzer: Literal["standard", "english", "chinese"] = "english"
    bm25_k1: float = Field(1.2, ge=0, le=3)
    bm25_b: float = Field(0.75, ge=0, le=1)
    concurrency_semantic: int = Field(10, ge=1, le=100)
    concurrency_sparse: int = Field(10, ge=1, le=100)
    concurrency_domain: int = Field(5, ge=1, le=100)
    queue_wait_s: Seconds = 1.0


class RedisSettings(Section):
    """Redis, shared by replicas for rate limits; not needed by one process."""

    url: SecretStr | None = None
    timeout_s: Seconds = 0.05


class RateLimitSettings(Section):
    """Requests allowed per client address; chat per session."""

    enabled: bool = False
    retrieve: Rate = "20/minute"
    ingest: Rate = "10/minute"
    chat: Rate = "30/minute"
    login: Rate = "10/minute"
    overall: Rate = "1000/hour"


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


class DomainSettings(Section):
    """A field of knowledge; without an encoder of its own it uses the semantic one."""

    encoder: str | None = None
    lexicon: list[Term] = Field(default=[], max_length=10_000)


class ArchiveSettings(Section):
    """What a file may unpack to: archives, mails, and the office formats, which are archives inside."""

    max_ratio: int = Field(100, ge=2, le=10_000)
    max_depth: int = Field(3, ge=1, le=10)
    max_members: int = Field(1000, ge=1, le=100_000)
    max_bytes: int = Field(268_435_456, ge=1_048_576)


class OcrSettings(Section):
    """Recognition of characters in pictures, where tesserocr is installed."""

    enabled: bool = True
    languages: list[LanguageCode] = Field(default=["eng"], min_length=1, max_length=8)
    data_dir: Path | None = None
    dpi: int = Field(200, ge=72, le=600)
    max_pages: int = Field(30, ge=1)


class ParsingSettings(Section):
    """Reading files, in processes of their own."""

    processes: int = Field(2, ge=1, le=64)
    queue: int = Field(32, ge=1, le=10_000)
    files_per_process: int = Field(50, ge=1)
    memory_mb: int = Field(512, ge=256, le=65_536)
    cpu_s: int = Field(60, ge=1, le=3600)
    timeout_s: Seconds = 90.0
    max_pages: int = Field(2000, ge=1)
    max_text_chars: int = Field(10_000_000, ge=1000, le=100_000_000)
    archive: ArchiveSettings = ArchiveSettings()
    ocr: OcrSettings = OcrSettings()


class ChunkingSettings(Section):
    """The size of the pieces documents are cut into."""

    max_tokens: int = Field(192, ge=32, le=8192)
    overlap_tokens: int = Field(24, ge=0, le=512)


class FetchSettings(Section):
    """Documents fetched by URL, and where a URL may lead."""

    enabled: bool = False
    ports: list[Annotated[int, Field(ge=1, le=65535)]] = Field(default=[80, 443], min_length=1, max_length=64)
    allowed_hosts: list[HostPattern] = Field(default=[], max_length=1000)
    allowed_networks: list[IPvAnyNetwork] = Field(default=[], max_length=64)
    max_bytes: int = Field(67_108_864, ge=1024)
    timeout_s: Seconds = 60.0
    connect_timeout_s: Seconds = 5.0
    max_redirects: int = Field(5, ge=0, le=20)


class WeightSettings(Section):
    """How much each leg counts in fusion."""

    semantic: float = Field(0.5, ge=0, le=1)
    sparse: float = Field(0.5, ge=0, le=1)
    domain: float = Field(0.5, ge=0, le=1)


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

    providers: list[ProviderSettings] = []


class FeatureSettings(Section):
    """Switches for whole capabilities."""

    reranking: bool = True
    sparse: bool = True
    domain: bool = True
    mmr: bool = False
    cache: bool = True


class ExamplesSettings(Section):
    """The bundled example documents."""

    ingest: bool = True


class JobSettings(Section):
    """Background work: ingestion of what was taken in, and purges of old vectors."""

    embedded: bool = True
    concurrency: int = Field(3, ge=1, le=64)
    lease_s: int = Field(60, ge=4, le=3600)
    interval_s: Seconds = 2.0
    max_attempts: int = Field(8, ge=1, le=100)
    max_retakes: int = Field(5, ge=1, le=100)
    retention_days: int = Field(7, ge=1, le=3650)


class UploadSettings(Section):
    """Files that are uploaded, and where they wait until they are read."""

    folder: Path | None = None
    max_file_bytes: int = Field(104_857_600, ge=1)
    max_files: int = Field(20, ge=1, le=1000)
    max_body_bytes: int = Field(536_870_912, ge=1024)


class LoggingSettings(Section):
    """What is logged and how."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "console"] = "json"


class TracingSettings(Section):
    """Traces, sent to an OpenTelemetry collector over HTTP."""

    enabled: bool = False
    endpoint: str = "http://127.0.0.1:4318/v1/traces"
    sample_ratio: float = Field(1.0, ge=0, le=1)
    timeout_s: Seconds = 3.0


class Settings(BaseSettings):
    """All settings of the service."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=True,
    )
    yaml_path: ClassVar[Path | None] = None

    data_dir: Path = Path("data")
    server: ServerSettings = ServerSettings()
    auth: AuthSettings = AuthSettings()
    audit: AuditSettings = AuditSettings()
    admission: AdmissionSettings = AdmissionSettings()
    database: DatabaseSettings = DatabaseSettings()
    milvus: MilvusSettings = MilvusSettings()
    redis: RedisSettings = RedisSettings()
    rate_limit: RateLimitSettings = RateLimitSettings()
    encoder: EncoderSettings = EncoderSettings()
    visual: VisualSettings = VisualSettings()
    domains: dict[DomainName, DomainSettings] = Field(default={"general": DomainSettings()}, max_length=16)
    parsing: ParsingSettings = ParsingSettings()
    chunking: ChunkingSettings = ChunkingSettings()
    fetch: FetchSettings = FetchSettings()
    retrieval: RetrievalSettings = RetrievalSettings()
    chat: ChatSettings = ChatSettings()
    llm: LlmSettings = LlmSettings()
    features: FeatureSettings = FeatureSettings()
    examples: ExamplesSettings = ExamplesSettings()
    uploads: UploadSettings = UploadSettings()
    jobs: JobSettings = JobSettings()
    logging: LoggingSettings = LoggingSettings()
    tracing: TracingSettings = TracingSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources: arguments, environment, YAML."""
        del dotenv_settings, file_secret_settings
        return init_settings, env_settings, YamlConfigSettingsSource(settings_cls, yaml_file=cls.yaml_path)

    @property
    def database_url(self) -> str:
        """The SQLAlchemy URL of the database."""
        if self.database.url is not None:
            return self.database.url.get_secret_value()
        return f"sqlite:///{self.data_dir.absolute() / 'rag.db'}"

    @property
    def milvus_uri(self) -> str:
        """The Milvus server, or the file of Milvus Lite."""
        return self.milvus.uri or str(self.data_dir.absolute() / "milvus.db")

    @property
    def milvus_is_embedded(self) -> bool:
        """Whether the vector store is Milvus Lite in the data directory."""
        return self.milvus.uri is None

    @property
    def files_folder(self) -> Path:
        """Where uploaded files wait; every process of an installation sees it."""
        return self.uploads.folder or self.data_dir.absolute() / "files"

    @property
    def is_embedded(self) -> bool:
        """Whether both the database and the vector store live in the data directory."""
        return self.database.url is None and self.milvus_is_embedded

    @property
    def is_open(self) -> bool:
        """Whether anybody on the network may do anything."""
        return self.auth.mode == "disabled" and not self.is_loopback

    @property
    def is_loopback(self) -> bool:
        """Whether the service can be reached from this machine only."""
        return self.server.host in {"127.0.0.1", "::1", "localhost"}
