"""Where things are kept."""

from typing import Literal

from pydantic import Field, SecretStr

from advanced_rag.config.base import Seconds, Section


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
    concurrency_visual: int = Field(5, ge=1, le=100)
    queue_wait_s: Seconds = 1.0


class RedisSettings(Section):
    """Redis, shared by replicas for rate limits; not needed by one process."""

    url: SecretStr | None = None
    timeout_s: Seconds = 0.05


class ReindexSettings(Section):
    """Building the index anew beside the one that is searched."""

    batch_size: int = Field(256, ge=1, le=1000)
    max_slowdown: float = Field(0.5, ge=0.05, le=10)
    tolerance: float = Field(0.01, ge=0, le=1)
    keep_retired_hours: float = Field(24.0, ge=0, le=8760)
