"""Which letters bytes stand for."""

import codecs

import charset_normalizer

from advanced_rag.file_errors import UnsupportedFileTypeError

UNDECODABLE = "undecodable_characters"
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Not to be believed: a declaration that is in UTF-16 itself could not be read as it was, and the others spell letters out.
_UNBELIEVED = ("utf-16", "utf-32", "idna", "punycode", "unicode-escape", "raw-unicode-escape")
_SAMPLE_BYTES = 65_536  # enough to tell encodings apart; guessing costs some 20 us a byte
# In UTF-16, every second byte of European and Near Eastern scripts is a control character; in other text none is.
_CONTROLS = bytes(set(range(0x20)) - set(b"\t\n\r"))
_MOST, _FEW = 0.7, 0.3


def decode(data: bytes, declared: str | None = None) -> tuple[str, list[str]]:
    """Return a text and notes on it: by its byte order mark, as declared, as UTF-8, or by the look of its letters.

    Raises UnsupportedFileTypeError when it is no text in any encoding.
    """
    encoding = _by_mark(data) or _known(declared) or wide_encoding(data) or _guess(data)
    text = data.decode(encoding, "replace")
    return text, [UNDECODABLE] if "\ufffd" in text else []


def wide_encoding(data: bytes) -> str | None:
    """Return which UTF-16 some bytes without a mark are in, None for any other encoding."""
    if _by_mark(data):
        return _by_mark(data)
    even, odd = (_share_of_controls(data[side:_SAMPLE_BYTES:2]) for side in (0, 1))
    if odd > _MOST and even < _FEW:
        return "utf-16-le"
    return "utf-16-be" if even > _MOST and odd < _FEW else None


def _share_of_controls(side: bytes) -> float:
    return 1 - len(side.translate(None, _CONTROLS)) / len(side) if side else 0.0


def _by_mark(data: bytes) -> str | None:
    return next((encoding for mark, encoding in _MARKS if data.startswith(mark)), None)


def _known(declared: str | None) -> str | None:
    try:
        "".encode(declared or "")  # or it is none of text
        name = codecs.lookup(declared or "").name
    except (LookupError, ValueError):
        return None
    return None if name.startswith(_UNBELIEVED) else name


def _guess(data: bytes) -> str:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return _by_letters(_whole_lines(data))
    return "utf-8"


def _whole_lines(data: bytes) -> bytes:
    """Return a sample that ends with a line, so that no letter is cut."""
    sample = data[:_SAMPLE_BYTES]
    return sample[: sample.rindex(b"\n")] if len(data) > len(sample) and b"\n" in sample else sample


def _by_letters(sample: bytes) -> str:
    try:
        sample.decode("utf-8")
    except UnicodeDecodeError:
        matches = charset_normalizer.from_bytes(sample)
    else:
        return "utf-8"  # damaged further down
    best = matches.best()
    if best is None:
        raise UnsupportedFileTypeError
    # Where nothing tells them apart, Western letters are likelier than their Central European doubles.
    likely = [match.encoding for match in matches if match.chaos == best.chaos and match.coherence >= best.coherence]
    return "cp1252" if best.encoding == "cp1250" and "cp1252" in likely else str(best.encoding)
