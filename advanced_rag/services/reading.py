"""Reading a file: a look at it, the rule that says which way it goes, and what it says on that way."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from advanced_rag.models.diagnostics import Diagnostics
from advanced_rag.models.jobs import Job
from advanced_rag.models.parsed import DRAWABLE, OCR_UNAVAILABLE, Depth, PageStart, Parsed
from advanced_rag.models.routing import Decision, Facts, Route, Rule, decide
from advanced_rag.text.diagnose import Lexicons, diagnose

PAGES_NOT_SEEN = "visual_page_limit"


class Parser(Protocol):
    """What finds out what is in a file."""

    async def parse(self, path: Path, name: str, depth: Depth = "ocr") -> Parsed:
        """Return what a file says; raises FileError."""
        ...

    async def render(self, path: Path, media_type: str, number: int, longest_side_px: int) -> bytes:
        """Return a page, from 0, as JPEG; raises FileError."""
        ...


@dataclass(frozen=True, slots=True)
class Reading:
    """What a file says, the way it goes, and the figures of its text."""

    parsed: Parsed
    decision: Decision
    diagnostics: Diagnostics

    @property
    def pages(self) -> tuple[PageStart, ...]:
        """Where its pages begin; a picture that is looked at is one page."""
        return self.parsed.pages or ((PageStart(1, 0),) if self.decision.route == "visual" else ())

    def details(self) -> dict[str, Any]:
        """Return what is kept of it with the job and the version."""
        return {
            "media_type": self.parsed.media_type,
            "kind": self.parsed.kind,
            "route": self.decision.route,
            "rule": self.decision.rule,
            "notes": list(self.parsed.notes),
            "diagnostics": asdict(self.diagnostics),
        }


class FileReader:
    """Reads files; ``routes`` are the ways that can be gone here, besides reading the text as it stands."""

    def __init__(
        self, parser: Parser, rules: Sequence[Rule], routes: Collection[Route], lexicons: Lexicons, *, max_pages: int
    ) -> None:
        self._parser = parser
        self._rules = rules
        self._routes = routes
        self._lexicons = lexicons
        self._max_pages = max_pages

    async def read(self, job: Job, path: Path, source: Mapping[str, Any]) -> Reading:
        """Read the file of a job. Raises FileError, OverloadedError."""
        seen = await self._parser.parse(path, source["name"], "look")
        decision = decide(_facts(job, source, seen), self._rules, self._possible(seen))
        parsed = await self._parsed(decision.route, seen, path, source["name"])
        diagnostics = await asyncio.to_thread(diagnose, parsed.text, self._lexicons)
        return Reading(parsed, decision, diagnostics)

    def _possible(self, seen: Parsed) -> list[Route]:
        here = [route for route in self._routes if route != "visual" or seen.media_type in DRAWABLE]
        return ["text", *here]

    async def _parsed(self, route: Route, seen: Parsed, path: Path, name: str) -> Parsed:
        if route == "visual":
            return replace(seen, notes=self._notes(seen))
        if not seen.has_unread:
            return seen
        return replace(await self._parser.parse(path, name, route), kind=seen.kind)

    def _notes(self, seen: Parsed) -> tuple[str, ...]:
        """Return the notes on a file whose pages are looked at: nothing of them is left out for want of recognition."""
        notes = tuple(note for note in seen.notes if note != OCR_UNAVAILABLE)
        return (*notes, PAGES_NOT_SEEN) if len(seen.pages) > self._max_pages else notes


def _facts(job: Job, source: Mapping[str, Any], seen: Parsed) -> Facts:
    return Facts(
        tenant=job.tenant,
        document_id=job.document_id,
        kind=seen.kind,
        has_scans=seen.has_unread,
        media_type=seen.media_type,
        bytes=source["bytes"],
        pages=len(seen.pages) or 1,
    )
