"""JSON and XML: a line for each value, led by where it stands."""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from lxml import etree

from advanced_rag.file_errors import ExternalEntitiesError
from advanced_rag.parsing.draft import Draft, Page, Source, corrupt_if_it_fails
from advanced_rag.parsing.plain import decode
from advanced_rag.parsing.unzip import xml_root
from advanced_rag.parsing.webpage import to_markdown

# Files of other types that XML mentions, such as the drawings of a patent; no parser reads them.
_UNPARSED_ENTITY = re.compile(rb"""<!ENTITY\s+[\w.-]+\s+SYSTEM\s+["'][^"'<>]*["']\s+NDATA\s+[\w.-]+\s*>""")
_ENTITY = re.compile(b"|".join(re.escape("<!ENTITY".encode(name)) for name in ("ascii", "utf-16-le", "utf-16-be")))
_MARKUP = re.compile(r"</?(p|br|div|span|a|b|i|em|strong|ul|ol|li|table|h[1-6])\b[^<>]*>", re.IGNORECASE)


def parse_json(source: Source) -> Draft:
    """Read a JSON document. Raises CorruptFileError."""
    text, notes = decode(source.data)
    with corrupt_if_it_fails():
        lines = "\n".join(_lines(json.loads(text.lstrip("\ufeff"))))
    return Draft("application/json", [Page(lines)], notes=notes)


def parse_json_lines(source: Source) -> Draft:
    """Read JSON Lines; each record is a paragraph. Raises CorruptFileError."""
    text, notes = decode(source.data)
    with corrupt_if_it_fails():
        records = ["\n".join(_lines(json.loads(line))) for line in text.lstrip("\ufeff").split("\n") if line.strip()]
    return Draft("application/x-ndjson", [Page("\n\n".join(records))], notes=notes)


def parse_xml(source: Source) -> Draft:
    """Read XML; document types are not looked up, entities refused. Raises ExternalEntitiesError, CorruptFileError."""
    data = _UNPARSED_ENTITY.sub(b"", source.data)
    if _ENTITY.search(data):
        raise ExternalEntitiesError
    return Draft("application/xml", [Page("\n".join(_elements([xml_root(data)])))])


def _lines(value: Any, path: str = "") -> Iterator[str]:
    """Yield ``path: value`` for each leaf; records of a list are paragraphs."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _lines(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            if not path and isinstance(item, dict) and index:
                yield ""
            yield from _lines(item, path)
    elif value is not None:
        yield f"{path}: {value}" if path else str(value)


def _elements(elements: Iterable[etree._Element]) -> Iterator[str]:
    """Yield a line for each element that has text of its own, with what stands inside it."""
    for element in elements:
        if not isinstance(element.tag, str):
            continue
        if _has_own_text(element):
            yield f"{etree.QName(element).localname}: {_said(''.join(element.itertext()))}"
        else:
            yield from _elements(element)
            yield ""


def _said(text: str) -> str:
    """Return a text on one line; feeds carry HTML as text."""
    return " ".join((to_markdown(text) if _MARKUP.search(text) else text).split())


def _has_own_text(element: etree._Element) -> bool:
    return bool((element.text or "").strip() or any((child.tail or "").strip() for child in element))
