"""How documents come in."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, IPvAnyNetwork, StringConstraints

from advanced_rag.config.base import Seconds, Section
from advanced_rag.models.parsed import DocumentKind
from advanced_rag.models.routing import Route

LanguageCode = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_]{2,32}$")]
RuleName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]
MediaType = Annotated[str, StringConstraints(pattern=r"^[a-z0-9.+-]+/([a-z0-9.+-]+|\*)$")]
HostPattern = Annotated[str, StringConstraints(pattern=r"^(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$")]


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


class RuleSettings(Section):
    """Files that go one way: what is left out holds for every file."""

    name: RuleName
    route: Route
    kinds: list[DocumentKind] = Field(default=[], max_length=8)
    has_scans: bool | None = None
    media_types: list[MediaType] = Field(default=[], max_length=64)
    min_bytes: int | None = Field(None, ge=0)
    max_bytes: int | None = Field(None, ge=0)
    min_pages: int | None = Field(None, ge=0)
    max_pages: int | None = Field(None, ge=0)
    tenants: list[str] = Field(default=[], max_length=1000)
    percent: float = Field(100.0, ge=0, le=100)


def _distinct(rules: list[RuleSettings]) -> list[RuleSettings]:
    if len({rule.name for rule in rules}) < len(rules):
        raise ValueError("two rules have the same name")
    return rules


class RoutingSettings(Section):
    """Which way a file goes: the first rule that fits and can be followed decides, else its text is read as it stands."""

    rules: Annotated[list[RuleSettings], AfterValidator(_distinct)] = Field(
        default=[
            RuleSettings(name="pictures", route="visual", kinds=["visual"]),
            RuleSettings(name="scans", route="ocr", has_scans=True),
            RuleSettings(name="unreadable", route="visual", kinds=["scanned"]),
        ],
        max_length=100,
    )


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


class UploadSettings(Section):
    """Files that are uploaded, and where they wait until they are read."""

    folder: Path | None = None
    max_file_bytes: int = Field(104_857_600, ge=1)
    max_files: int = Field(20, ge=1, le=1000)
    max_body_bytes: int = Field(536_870_912, ge=1024)


class DocumentSettings(Section):
    """How long what is no longer found of documents is kept."""

    keep_versions: int = Field(10, ge=0, le=10_000)
    version_days: int = Field(365, ge=1, le=36_500)
    tombstone_days: int = Field(365, ge=1, le=36_500)


class JobSettings(Section):
    """Background work: ingestion of what was taken in, and purges of old vectors."""

    embedded: bool = True
    concurrency: int = Field(0, ge=0, le=64)
    lease_s: int = Field(60, ge=4, le=3600)
    interval_s: Seconds = 2.0
    max_attempts: int = Field(8, ge=1, le=100)
    max_retakes: int = Field(5, ge=1, le=100)
    retention_days: int = Field(7, ge=1, le=3650)
    metrics_port: int | None = Field(None, ge=1, le=65535)


class ExamplesSettings(Section):
    """The bundled example documents."""

    ingest: bool = True
