"""The history of a document, in and out."""

from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, model_validator

from advanced_rag.api.schemas.base import Answer, DomainName, Schema, not_blank
from advanced_rag.models.documents import VersionInfo, VersionState

Title = Annotated[str, StringConstraints(min_length=1, max_length=1000), AfterValidator(not_blank)]


class SourceOut(Answer):
    """The file a version was made of."""

    name: str
    media_type: str | None = None
    bytes: int
    sha256: str


class VersionOut(Answer):
    """A version; its text only where one is asked for."""

    version: int
    state: VersionState
    is_current: bool
    title: str
    metadata: dict[str, Any]
    domain: str | None = None
    chunks: int
    bytes: int
    created_at: datetime
    source: SourceOut | None = None
    text: str | None = None

    @classmethod
    def of(cls, info: VersionInfo) -> "VersionOut":
        """Make it from what the service says."""
        document = info.document
        return cls(
            version=document.version,
            state=info.state,
            is_current=info.is_current,
            title=document.title,
            metadata=dict(document.metadata),
            domain=document.domain,
            chunks=info.chunks,
            bytes=info.bytes,
            created_at=info.created_at,
            source=SourceOut.model_validate(dict(info.source)) if info.source else None,
            text=info.text or None,
        )


class VersionPage(Answer):
    """A page of the versions of a document."""

    versions: list[VersionOut]
    next_cursor: str | None = None


class ChangeIn(Schema):
    """What is to change of a document, the rest stays; metadata are replaced as a whole, a domain of null is none."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"metadata": {"team": "reception"}}]})

    title: Title = ""
    metadata: dict[str, Any] = Field(default_factory=dict)
    domain: DomainName | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("say title, metadata or domain")
        return self
