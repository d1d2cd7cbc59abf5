"""The server: who may call, how often, and what is told of it."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, StringConstraints

from advanced_rag.config.base import Seconds, Section
from advanced_rag.models.identity import ROLES, Scope

RoleName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]
Rate = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,6}/(second|minute|hour|day)$")]


class ServerSettings(Section):
    """The HTTP server."""

    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)
    allow_open_network: bool = False
    trusted_proxies: list[str] = Field([])
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
    allowed_origins: list[str] = Field([])
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


class RateLimitSettings(Section):
    """Requests allowed per client address; chat per session."""

    enabled: bool = False
    retrieve: Rate = "20/minute"
    ingest: Rate = "10/minute"
    chat: Rate = "30/minute"
    login: Rate = "10/minute"
    overall: Rate = "1000/hour"


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
