"""Slides: a page each, with the title as its heading, then text and tables from top to bottom, then the notes."""

import io
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

import pptx
from pptx.exc import PythonPptxError
from pptx.shapes.group import GroupShape
from pptx.shapes.picture import Picture

from advanced_rag.config import ParsingSettings
from advanced_rag.file_errors import TooManyPagesError
from advanced_rag.parsing.classify import measure
from advanced_rag.parsing.draft import Draft, Page, Source, corrupt_if_it_fails, one_line, table
from advanced_rag.parsing.unzip import check_package, core_title

_SHAPES = 5000  # on one slide; more are no slide


def parse_slides(source: Source, settings: ParsingSettings) -> Draft:
    """Read a PPTX or PPTM.

    Raises ArchiveTooLargeError, ExternalEntitiesError, CorruptFileError, TooManyPagesError.
    """
    notes = check_package(source, settings.archive)
    with corrupt_if_it_fails(PythonPptxError):
        deck = pptx.Presentation(io.BytesIO(source.data))
        if len(deck.slides) > settings.max_pages:
            raise TooManyPagesError
        area = (deck.slide_width or 0) * (deck.slide_height or 0)
        pages = [_page(slide, area) for slide in deck.slides]
    media_type = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
    return Draft(media_type, pages, title=core_title(source), is_paged=True, notes=notes)


def _page(slide: Any, area: int) -> Page:
    shapes = list(islice(_flat(slide.shapes), _SHAPES))
    title = slide.shapes.title
    parts = [f"# {one_line(title.text)}"] if title is not None and title.text.strip() else []
    parts += [part for shape in sorted(shapes, key=_place) if not _is(shape, title) for part in _parts(shape)]
    if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
        parts.append(slide.notes_slide.notes_text_frame.text)
    text = "\n\n".join(part for part in parts if part.strip())
    pictured = sum((shape.width or 0) * (shape.height or 0) for shape in shapes if isinstance(shape, Picture))
    share = min(pictured / area, 1.0) if area else 0.0
    return Page(text, replace(measure(text), image_share=share, is_landscape=True))


def _flat(shapes: Iterable[Any]) -> Iterator[Any]:
    for shape in shapes:
        if isinstance(shape, GroupShape):
            yield from _flat(shape.shapes)
        else:
            yield shape


def _place(shape: Any) -> tuple[int, int]:
    return shape.top or 0, shape.left or 0


def _is(shape: Any, other: Any) -> bool:
    return other is not None and shape.shape_id == other.shape_id


def _parts(shape: Any) -> Iterator[str]:
    if shape.has_text_frame:
        yield "\n".join(_paragraph(paragraph) for paragraph in shape.text_frame.paragraphs if paragraph.text.strip())
    elif getattr(shape, "has_table", False):
        yield table([[cell.text for cell in row.cells] for row in shape.table.rows])
    elif getattr(shape, "has_chart", False):
        yield _chart(shape.chart)


def _paragraph(paragraph: Any) -> str:
    text = " ".join(paragraph.text.split())
    return f"{'  ' * (paragraph.level - 1)}- {text}" if paragraph.level else text


def _chart(chart: Any) -> str:
    title = chart.chart_title.text_frame.text if chart.has_title and chart.chart_title.has_text_frame else ""
    plot = next(iter(chart.plots), None)
    if plot is None:
        return title
    series = list(plot.series)
    head = ["", *(item.name for item in series)]
    values = zip(*(item.values for item in series), strict=False)
    rows = [[str(label), *map(str, row)] for label, row in zip(plot.categories, values, strict=False)]
    return f"{title}\n\n{table([head, *rows])}"
