"""Word documents: headings by style, lists, tables."""

import io

import mammoth

from advanced_rag.config import ParsingSettings
from advanced_rag.parsing.draft import Draft, Page, Source, corrupt_if_it_fails
from advanced_rag.parsing.unzip import check_package, core_title
from advanced_rag.parsing.webpage import to_markdown

_STYLES = "p[style-name='Title'] => h1:fresh\np[style-name='Subtitle'] => h2:fresh"


def parse_word(source: Source, settings: ParsingSettings) -> Draft:
    """Read a DOCX or DOCM; where its pages begin is decided by whoever prints it.

    Raises ArchiveTooLargeError, ExternalEntitiesError, CorruptFileError.
    """
    notes = check_package(source, settings.archive)
    with corrupt_if_it_fails():
        html = mammoth.convert_to_html(io.BytesIO(source.data), style_map=_STYLES, convert_image=lambda _: []).value
    media_type = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
    return Draft(media_type, [Page(to_markdown(html))], title=core_title(source), notes=notes)
