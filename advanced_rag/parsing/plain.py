"""Text as it is: plain, Markdown, source code; in whatever encoding."""

from advanced_rag.parsing.classify import measure
from advanced_rag.parsing.detect import extension
from advanced_rag.parsing.draft import Draft, Page, Source, fenced
from advanced_rag.parsing.encoding import decode


def parse_plain(source: Source) -> Draft:
    """Read a plain text."""
    return _draft(source, "text/plain")


def parse_markdown(source: Source) -> Draft:
    """Read Markdown, which is what all the others become."""
    return _draft(source, "text/markdown")


def parse_code(source: Source) -> Draft:
    """Read source code, as one block of code."""
    text, notes = decode(source.data)
    block = fenced(text, extension(source.name)) if text.strip() else ""
    return Draft("text/x-source", [Page(block, measure(block))], notes=notes)


def _draft(source: Source, media_type: str) -> Draft:
    text, notes = decode(source.data)
    return Draft(media_type, [Page(text)], notes=notes)
