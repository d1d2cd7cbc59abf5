"""HTML: the main text of a page; what is hidden from readers is left out."""

import re

import markdownify
from lxml import etree, html

from advanced_rag.file_errors import CorruptFileError
from advanced_rag.parsing.draft import Draft, Page, Source, corrupt_if_it_fails
from advanced_rag.parsing.encoding import decode

_DECLARED = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?([A-Za-z0-9_.:-]{1,40})""", re.IGNORECASE)
_PROLOGUE = re.compile(r"\A\s*<\?xml[^>]*\?>")
_NOT_TEXT = "script style noscript template iframe object embed svg math canvas head select button textarea"
_HIDING = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0(?![.\d]*[1-9])", re.IGNORECASE)
# What stands around the text of a site; a document that was saved as HTML has none of it and is read whole.
_FURNITURE = (
    "//nav|//aside|//footer|//header|//main|//article|//form|//*[contains(@class, 'nav') or contains(@class, 'menu')]"
)
_DEEPEST = 200  # levels; markdownify calls itself for each
_GAP = re.compile(r"[ \t\r\n]{2,}")


def parse_webpage(source: Source) -> Draft:
    """Read a page: its main text, or all of it where none stands out. Raises CorruptFileError."""
    found = _DECLARED.search(source.data[:4096])
    text, notes = decode(source.data, found.group(1).decode("ascii") if found else None)
    tree = _tree(text)
    if tree is None:
        return Draft("text/html", [], notes=notes)
    title = tree.findtext(".//title")
    _remove_hidden(tree)
    text = (_main_text(tree) if tree.xpath(_FURNITURE) else "") or _all_text(tree)
    return Draft("text/html", [Page(text)], title=title, notes=notes)


def to_markdown(markup: str) -> str:
    """Return all text of some HTML as Markdown; pictures and link targets are left out. Raises CorruptFileError."""
    tree = _tree(markup)
    if tree is None:
        return ""
    _remove_hidden(tree)
    return _all_text(tree)


def _tree(text: str) -> html.HtmlElement | None:
    content = _PROLOGUE.sub("", text.replace("\0", ""))
    if not content.strip():
        return None
    parser = html.HTMLParser(no_network=True, remove_comments=True, remove_pis=True, huge_tree=True)
    with corrupt_if_it_fails(etree.LxmlError):
        tree = html.document_fromstring(content, parser=parser)
    if parser.error_log.filter_types(etree.ErrorTypes.ERR_RESOURCE_LIMIT):  # nested too deeply: the rest was not read
        raise CorruptFileError
    return tree


def _remove_hidden(tree: html.HtmlElement) -> None:
    for element in list(tree.iter(*_NOT_TEXT.split())):
        element.drop_tree()
    for element in tree.xpath("//*[@hidden or @style or @aria-hidden='true']"):
        is_hidden = (
            element.get("hidden") is not None or element.get("aria-hidden") or _HIDING.search(element.get("style", ""))
        )
        if is_hidden and element.getparent() is not None:
            element.drop_tree()


def _main_text(tree: html.HtmlElement) -> str:
    import trafilatura  # noqa: PLC0415 - takes 30 MB: mails and office files, which come by here, do without

    with corrupt_if_it_fails(etree.LxmlError):
        found = trafilatura.extract(
            tree, output_format="markdown", include_tables=True, include_comments=False, favor_recall=True, deduplicate=False
        )
    return found or ""


def _all_text(tree: html.HtmlElement) -> str:
    _open_layout_tables(tree)
    _close_gaps(tree)
    if _depth(tree) > _DEEPEST:
        return "\n\n".join(part.strip() for part in tree.itertext() if part.strip())
    with corrupt_if_it_fails(etree.LxmlError):
        return markdownify.markdownify(
            html.tostring(tree, encoding="unicode"),
            heading_style="ATX",
            bullets="-",
            strip=["a", "img", "b", "strong", "i", "em"],
            table_infer_header=True,
            escape_asterisks=False,
            escape_underscores=False,
            escape_misc=False,
        ).strip()


def _open_layout_tables(tree: html.HtmlElement) -> None:
    """Make plain blocks of tables that hold tables or a single column: they place things, as mails and old pages do."""
    layouts = {table for table in tree.iter("table") if _is_layout(table)}
    parts = list(tree.iter("tbody", "thead", "tfoot", "tr", "td", "th"))
    for part in [part for part in parts if next(part.iterancestors("table"), None) in layouts]:
        part.tag = "div"
    for layout in layouts:
        layout.tag = "div"


def _is_layout(table: html.HtmlElement) -> bool:
    return table.find(".//table") is not None or not table.xpath("boolean(.//tr[count(td|th) > 1])")


def _close_gaps(tree: html.HtmlElement) -> None:
    """Shorten white space that no reader sees: markdownify takes time with the square of its length."""
    kept = set(tree.xpath("//pre/descendant-or-self::*"))
    for element in tree.iter():
        if element.text and element not in kept:
            element.text = _GAP.sub(_gap, element.text)
        if element.tail and element.getparent() not in kept:
            element.tail = _GAP.sub(_gap, element.tail)


def _gap(found: re.Match[str]) -> str:
    return "\n" if "\n" in found.group() else " "


def _depth(tree: html.HtmlElement) -> int:
    deepest = depth = 0
    for event, _ in etree.iterwalk(tree, events=("start", "end")):
        depth += 1 if event == "start" else -1
        deepest = max(deepest, depth)
    return deepest
