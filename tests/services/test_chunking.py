"""Every page has a place to stand."""

from hypothesis import given
from hypothesis import strategies as st

from advanced_rag.models.documents import Span
from advanced_rag.models.parsed import PageStart
from advanced_rag.services.chunking import with_every_page

PAGES = st.lists(st.integers(0, 3), max_size=12)  # the spans on each page


@given(PAGES)
def test_each_page_has_a_span_and_no_span_is_lost(counts):
    pages = [PageStart(number, 10 * number) for number in range(1, len(counts) + 1)]
    spans = [
        Span(page.start + place, page.start + place + 1, (), 1, page.number)
        for page, count in zip(pages, counts, strict=True)
        for place in range(count)
    ]
    made = with_every_page(spans, pages)
    assert [span for span in made if span.end > span.start] == spans
    assert [span.page for span in made] == sorted(span.page for span in made)
    assert {span.page for span in made} == {page.number for page in pages}
    assert len(made) == len(spans) + counts.count(0)
