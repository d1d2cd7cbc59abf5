"""Tables: spreadsheets with a heading for each sheet, and delimited text."""

import csv
import io
from datetime import date, datetime, time, timedelta

import python_calamine

from advanced_rag.config import ParsingSettings
from advanced_rag.file_errors import EncryptedFileError, TooManyPagesError
from advanced_rag.parsing.draft import Draft, Page, Source, corrupt_if_it_fails, table
from advanced_rag.parsing.plain import decode

_DELIMITERS = ",;\t|"
_SNIFFED_CHARS = 8192
_Cell = int | float | str | bool | time | date | datetime | timedelta


def parse_sheets(source: Source, settings: ParsingSettings) -> Draft:
    """Read a workbook: values, not formulas; a sheet is a page. Macros are never looked at.

    Raises EncryptedFileError when it needs a password, CorruptFileError, TooManyPagesError.
    """
    with corrupt_if_it_fails(python_calamine.CalamineError):
        book = _open(source.data)
        names = book.sheet_names
        if len(names) > settings.max_pages:
            raise TooManyPagesError
        pages = [_sheet(book, name) for name in names]
    return Draft("application/vnd.ms-excel", [page for page in pages if page], is_paged=True)


def parse_csv(source: Source) -> Draft:
    """Read delimited text as one table."""
    text, notes = decode(source.data)
    sample = text[:_SNIFFED_CHARS]
    csv.field_size_limit(max(len(text), 1))
    with corrupt_if_it_fails(csv.Error):
        rows = list(csv.reader(io.StringIO(text.replace("\0", ""), newline=""), delimiter=_delimiter(sample)))
    return Draft("text/csv", [Page(table(rows))], notes=notes)


def _open(data: bytes) -> python_calamine.CalamineWorkbook:
    try:
        return python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(data))
    except python_calamine.PasswordError:
        raise EncryptedFileError from None


def _sheet(book: python_calamine.CalamineWorkbook, name: str) -> Page:
    rows = book.get_sheet_by_name(name).to_python(skip_empty_area=True)
    cells = table([[_written(cell) for cell in row] for row in rows])
    return Page(f"# {' '.join(name.split())}\n\n{cells}") if cells else Page("")


def _written(cell: _Cell) -> str:
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 2**53:
        return str(int(cell))
    return str(cell)


def _delimiter(sample: str) -> str:
    """Return the delimiter that most lines hold equally often."""
    lines = [line for line in sample.split("\n")[:50] if line.strip()]
    return max(_DELIMITERS, key=lambda mark: _agreement([line.count(mark) for line in lines]))


def _agreement(counts: list[int]) -> tuple[int, int]:
    usual = max((count for count in counts if count), key=counts.count, default=0)
    return (counts.count(usual), usual) if usual else (0, 0)
