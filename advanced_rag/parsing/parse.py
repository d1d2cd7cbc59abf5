"""From the bytes of a file to its text: find out what it is, and hand it to the parser that reads that."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module

from advanced_rag.config import ParsingSettings
from advanced_rag.file_errors import EmptyFileError, NoTextError, OcrUnavailableError
from advanced_rag.models.parsed import OCR_UNAVAILABLE, Depth, Parsed
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


def parse(source: Source, settings: ParsingSettings, depth: Depth = "ocr") -> Parsed:
    """Read a file whatever it is, and pictures as ``depth`` says; a look may find no text but pictures to read.

    Raises FileError, and nothing else on account of what is in the file.
    """
    if depth != "ocr":
        settings = settings.model_copy(update={"ocr": settings.ocr.model_copy(update={"enabled": False})})
    parsed = finish(_draft(source, Budget.of(settings), depth), settings)
    _refuse_nothing(parsed.text, parsed.notes, depth)
    return parsed


def _draft(source: Source, budget: Budget, depth: Depth) -> Draft:
    if not source.data:
        raise EmptyFileError
    kind = detect(source)
    if kind in _SIMPLE:
        return _parser(_SIMPLE[kind])(source)
    if kind in _LIMITED:
        return _parser(_LIMITED[kind])(source, budget.settings)
    return _parser(_NESTED[kind])(source, budget, partial(_part, depth=depth))


def _part(source: Source, budget: Budget, *, depth: Depth) -> Draft:
    draft = _draft(source, budget, depth)
    _refuse_nothing(draft.text, draft.notes, depth)
    return draft


def _refuse_nothing(text: str, notes: Sequence[str], depth: Depth) -> None:
    if text.strip():
        return
    if OCR_UNAVAILABLE not in notes:
        raise NoTextError
    if depth != "look":
        raise OcrUnavailableError


def _parser(name: str) -> Callable[..., Draft]:
    module, function = name.split(".")
    parser: Callable[..., Draft] = getattr(import_module(f"advanced_rag.parsing.{module}"), function)
    return parser
