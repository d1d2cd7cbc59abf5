"""What a fetched file is called: a plain name, whatever a server says."""

import re
from email.message import Message
from pathlib import PurePosixPath
from urllib.parse import unquote

_FALLBACK = "download"
_MAX_HEADER_CHARS = 1024
_MAX_NAME_CHARS, _MAX_SUFFIX_CHARS = 120, 16
_HARMFUL = re.compile(r"[^\w .()+-]+")


def file_name(disposition: str | None, path: str) -> str:
    """Return the name a Content-Disposition gives, else the last part of the URL's path, made harmless.

    It holds letters, digits, spaces and ``_.()+-`` alone, begins with no dot, and has 120 characters at most.
    """
    return _harmless(_declared(disposition)) or _harmless(unquote(path)) or _FALLBACK


def _declared(disposition: str | None) -> str:
    if disposition is None or len(disposition) > _MAX_HEADER_CHARS:
        return ""
    message = Message()
    message["Content-Disposition"] = disposition
    return message.get_filename("")


def _harmless(name: str) -> str:
    last = re.split(r"[/\\]", name.rstrip("/\\"))[-1]
    plain = _HARMFUL.sub("_", last).strip(" .")
    suffix = PurePosixPath(plain).suffix[:_MAX_SUFFIX_CHARS]
    return plain if len(plain) <= _MAX_NAME_CHARS else plain[: _MAX_NAME_CHARS - len(suffix)] + suffix
