"""What goes over the wire. Unknown fields are refused; numbers are numbers, never strings."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

MAX_TEXT_CHARS = 1_000_000
MAX_METADATA_BYTES = 16_384
MAX_QUERY_CHARS = 4_000


class Schema(BaseModel):
    """Base of everything received."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Answer(BaseModel):
    """Base of everything sent."""

    model_config = ConfigDict(from_attributes=True)


def not_blank(value: str) -> str:
    """Refuse what shows nothing."""
    if not any(character.isprintable() and not character.isspace() for character in value):
        raise ValueError("must not be blank")
    return value


def _document_id(value: str) -> str:
    if value != value.strip() or not value.isprintable() or set(value) & {"/", "\\"} or not value.strip("."):
        raise ValueError("must be printable, without slashes, spaces at its ends, and not only dots")
    return value


DocumentId = Annotated[str, StringConstraints(min_length=1, max_length=255), AfterValidator(_document_id)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=MAX_TEXT_CHARS), AfterValidator(not_blank)]
Query = Annotated[str, StringConstraints(min_length=1, max_length=MAX_QUERY_CHARS), AfterValidator(not_blank)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=255), AfterValidator(not_blank)]
DomainName = Annotated[str, StringConstraints(min_length=1, max_length=32)]
Leg = Literal["semantic", "sparse", "domain", "visual"]
Weight = Annotated[float, Field(ge=0, le=1, strict=False)]
