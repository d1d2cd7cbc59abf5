"""From the bytes of a file to its text: find out what it is, and hand it to the parser that reads that."""

from collections.abc import Callable, Mapping
from importlib import import_module

from advanced_rag.config import ParsingSettings
from advanced_rag.file_errors import EmptyFileError
from advanced_rag.models.parsed import Parsed
from advanced_rag.parsing.archive import Budget
from advanced_rag.parsing.detect import FileType, detect
from advanced_rag.parsing.draft import Draft, Source, finish

# Named, not imported: a process loads the libraries of the formats it meets, and stays small without the others.
_SIMPLE: Mapping[FileType, str] = {
    "code": "plain.parse_code",
    "csv": "sheets.parse_csv",
    "html": "webpage.parse_webpage",
    "json": "structured.parse_json",
    "jsonl": "structured.parse_json_lines",
    "markdown": "plain.parse_markdown",
    "text": "plain.parse_plain",
    "xml": "structured.parse_xml",
}
_LIMITED: Mapping[FileType, str] = {
    "epub": "epub.parse_epub",
    "image": "ocr.parse_image",
    "pdf": "pdf.parse_pdf",
    "sheets": "sheets.parse_sheets",
    "slides": "slides.parse_slides",
    "word": "word.parse_word",
}
_NESTED: Mapping[FileType, str] = {
    "gzip": "archive.parse_gzip",
    "mail": "mail.parse_mail",
    "outlook": "mail.parse_outlook",
    "tar": "archive.parse_tar",
    "zip": "archive.parse_zip",
}


def parse(source: Source, settings: ParsingSettings) -> Parsed:
    """Read a file whatever it is. Raises FileError, and nothing else on account of what is in the file."""
    return finish(_draft(source, Budget.of(settings)), settings)


def _draft(source: Source, budget: Budget) -> Draft:
    if not source.data:
        raise EmptyFileError
    kind = detect(source)
    if kind in _SIMPLE:
        return _parser(_SIMPLE[kind])(source)
    if kind in _LIMITED:
        return _parser(_LIMITED[kind])(source, budget.settings)
    return _parser(_NESTED[kind])(source, budget, _draft)


def _parser(name: str) -> Callable[..., Draft]:
    module, function = name.split(".")
    parser: Callable[..., Draft] = getattr(import_module(f"advanced_rag.parsing.{module}"), function)
    return parser
