"""Settings: every key has a type, a bound and a unit in its name. Where they come from: environment.py."""

from pathlib import Path
from typing import ClassVar

from pydantic import Field
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, YamlConfigSettingsSource

from advanced_rag.config.answers import (
    ChatSettings as ChatSettings,
)
from advanced_rag.config.answers import (
    DomainName as DomainName,
)
from advanced_rag.config.answers import (
    DomainSettings as DomainSettings,
)
from advanced_rag.config.answers import (
    EncoderSettings as EncoderSettings,
)
from advanced_rag.config.answers import (
    FeatureSettings as FeatureSettings,
)
from advanced_rag.config.answers import (
    LlmSettings as LlmSettings,
)
from advanced_rag.config.answers import (
    ProviderSettings as ProviderSettings,
)
from advanced_rag.config.answers import (
    RetrievalSettings as RetrievalSettings,
)
from advanced_rag.config.answers import (
    VisualSettings as VisualSettings,
)
from advanced_rag.config.answers import (
    WeightSettings as WeightSettings,
)
from advanced_rag.config.documents import (
    ArchiveSettings as ArchiveSettings,
)
from advanced_rag.config.documents import (
    ChunkingSettings as ChunkingSettings,
)
from advanced_rag.config.documents import (
    DocumentSettings as DocumentSettings,
)
from advanced_rag.config.documents import (
    ExamplesSettings as ExamplesSettings,
)
from advanced_rag.config.documents import (
    FetchSettings as FetchSettings,
)
from advanced_rag.config.documents import (
    JobSettings as JobSettings,
)
from advanced_rag.config.documents import (
    OcrSettings as OcrSettings,
)
from advanced_rag.config.documents import (
    ParsingSettings as ParsingSettings,
)
from advanced_rag.config.documents import (
    RoutingSettings as RoutingSettings,
)
from advanced_rag.config.documents import (
    RuleSettings as RuleSettings,
)
from advanced_rag.config.documents import (
    UploadSettings as UploadSettings,
)
from advanced_rag.config.server import (
    AdmissionSettings as AdmissionSettings,
)
from advanced_rag.config.server import (
    AuditSettings as AuditSettings,
)
from advanced_rag.config.server import (
    AuthSettings as AuthSettings,
)
from advanced_rag.config.server import (
    ClaimSettings as ClaimSettings,
)
from advanced_rag.config.server import (
    JwtSettings as JwtSettings,
)
from advanced_rag.config.server import (
    LoggingSettings as LoggingSettings,
)
from advanced_rag.config.server import (
    RateLimitSettings as RateLimitSettings,
)
from advanced_rag.config.server import (
    ServerSettings as ServerSettings,
)
from advanced_rag.config.server import (
    TracingSettings as TracingSettings,
)
from advanced_rag.config.stores import (
    DatabaseSettings as DatabaseSettings,
)
from advanced_rag.config.stores import (
    MilvusSettings as MilvusSettings,
)
from advanced_rag.config.stores import (
    RedisSettings as RedisSettings,
)
from advanced_rag.config.stores import (
    ReindexSettings as ReindexSettings,
)

ENV_PREFIX = "RAG_"


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
    routing: RoutingSettings = RoutingSettings()
    chunking: ChunkingSettings = ChunkingSettings()
    fetch: FetchSettings = FetchSettings()
    retrieval: RetrievalSettings = RetrievalSettings()
    chat: ChatSettings = ChatSettings()
    llm: LlmSettings = LlmSettings()
    features: FeatureSettings = FeatureSettings()
    examples: ExamplesSettings = ExamplesSettings()
    documents: DocumentSettings = DocumentSettings()
    uploads: UploadSettings = UploadSettings()
    jobs: JobSettings = JobSettings()
    reindex: ReindexSettings = ReindexSettings()
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
