"""What parsing makes of a file."""

from dataclasses import dataclass
from typing import Literal

DocumentKind = Literal["text", "scanned", "visual", "table", "code"]

# look: leave pictures unread, and say so; text: likewise, and refuse what says nothing else; ocr: read them as well
Depth = Literal["look", "text", "ocr"]

OCR_UNAVAILABLE = "ocr_unavailable"  # the note on text in pictures that nobody read
DRAWABLE = frozenset({"application/pdf", "image/png", "image/jpeg", "image/tiff"})  # media types with pages to look at


@dataclass(frozen=True, slots=True)
class PageStart:
    """Where a page, slide or sheet begins: its number, from 1, and the offset of its first character."""

    number: int
    start: int


@dataclass(frozen=True, slots=True)
class PageFeatures:
    """What was measured of one page, or of a whole file that has none; shares are from 0 to 1."""

    characters: int
    table_share: float = 0.0  # of the lines
    code_share: float = 0.0  # of the lines
    image_share: float = 0.0  # of the area
    is_landscape: bool = False
    is_recognised: bool = False  # the text was read from a picture, or would have to be


@dataclass(frozen=True, slots=True)
class Parsed:
    """The text of a file as Markdown, and what is known of it.

    ``pages`` is empty where the format has none. ``notes`` are fixed words on what was left out, never content.
    """

    media_type: str
    title: str | None
    text: str
    pages: tuple[PageStart, ...]
    features: tuple[PageFeatures, ...]
    kind: DocumentKind
    notes: tuple[str, ...]

    @property
    def has_unread(self) -> bool:
        """Whether there are pictures, in it or in the files in it, whose text was not recognised."""
        return any(note.endswith(OCR_UNAVAILABLE) for note in self.notes)
