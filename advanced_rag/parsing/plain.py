"""Text as it is: plain, Markdown, source code; in whatever encoding."""

import codecs

import charset_normalizer

from advanced_rag.file_errors import UnsupportedFileTypeError
from advanced_rag.parsing.classify import measure
from advanced_rag.parsing.detect import extension
from advanced_rag.parsing.draft import Draft, Page, Source, fenced

UNDECODABLE = "undecodable_characters"
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_GUESS_BYTES = 65_536  # enough to tell encodings apart; guessing costs some 20 us a byte
_NULS_IN_UTF16 = 0.3  # of the bytes on one side; Latin letters in UTF-16 have one each


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


def decode(data: bytes, declared: str | None = None) -> tuple[str, list[str]]:
    """Return a text and notes on it: by its byte order mark, as declared, as UTF-8, or by the look of its letters.

    Raises UnsupportedFileTypeError when it is no text in any encoding.
    """
    encoding = _by_mark(data) or _known(declared) or _guess(data)
    text = data.decode(encoding, "replace")
    return text, [UNDECODABLE] if "\ufffd" in text else []


def _draft(source: Source, media_type: str) -> Draft:
    text, notes = decode(source.data)
    return Draft(media_type, [Page(text)], notes=notes)


def _by_mark(data: bytes) -> str | None:
    return next((encoding for mark, encoding in _MARKS if data.startswith(mark)), None)


def _known(declared: str | None) -> str | None:
    try:
        return codecs.lookup(declared).name if declared and codecs.lookup(declared)._is_text_encoding else None
    except LookupError:
        return None


def _guess(data: bytes) -> str:
    wide = _wide(data[:_GUESS_BYTES])
    if wide:
        return wide
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return _by_letters(data)
    return "utf-8"


def _wide(sample: bytes) -> str | None:
    half = max(len(sample) // 2, 1)
    even, odd = sample[0::2].count(0) / half, sample[1::2].count(0) / half
    if odd > _NULS_IN_UTF16 > even:
        return "utf-16-le"
    return "utf-16-be" if even > _NULS_IN_UTF16 > odd else None


def _by_letters(data: bytes) -> str:
    """Guess from a sample that ends with a line, so that no letter is cut."""
    sample = data[:_GUESS_BYTES]
    if len(data) > len(sample) and b"\n" in sample:
        sample = sample[: sample.rindex(b"\n")]
    try:
        sample.decode("utf-8")
    except UnicodeDecodeError:
        best = charset_normalizer.from_bytes(sample).best()
        if best is None:
            raise UnsupportedFileTypeError from None
        return best.encoding
    return "utf-8"
