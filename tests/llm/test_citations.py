from hypothesis import given
from hypothesis import strategies as st

from advanced_rag.llm.citations import check_citations
from advanced_rag.models.documents import Chunk, DocumentVersion
from advanced_rag.models.retrieval import Hit

PASSAGES = [
    Hit(
        Chunk(f"c{n}", f"d{n}", 1, 0, "text", (), n, n + 4, 1),
        DocumentVersion(f"d{n}", 1, f"T{n}", {}, None),
        1.0,
        "fused",
        {},
    )
    for n in range(1, 4)
]


def test_marks_become_citations_of_chunk_and_span():
    text, (first, second) = check_citations("Yes [3]. No [1][3].", PASSAGES)
    assert text == "Yes [3]. No [1][3]."
    assert (first.n, first.chunk_id, first.start, first.end) == (1, "c1", 1, 5)
    assert (second.n, second.document_id) == (3, "d3")


def test_marks_of_passages_that_do_not_exist_go_with_the_space_before_them():
    assert check_citations("Yes [4]. No [0], [999].", PASSAGES) == ("Yes. No,.", ())


@given(st.text(alphabet="ab [](){}0123456789.", max_size=60))
def test_what_is_left_cites_only_what_there_is(answer):
    text, citations = check_citations(answer, PASSAGES)
    assert {item.n for item in citations} <= {1, 2, 3}
    assert check_citations(text, PASSAGES)[1] == citations
