"""Citations: what the marks [n] in an answer stand for."""

import re
from collections.abc import Sequence

from advanced_rag.models.chat import Citation
from advanced_rag.models.retrieval import Hit

_MARK = re.compile(r"\s?\[(\d{1,3})\]")


def check_citations(answer: str, passages: Sequence[Hit]) -> tuple[str, tuple[Citation, ...]]:
    """Return the answer without marks that stand for no passage, and the citations of those that do."""
    cited = sorted({int(n) for n in _MARK.findall(answer) if 1 <= int(n) <= len(passages)})
    kept = _MARK.sub(lambda mark: mark.group(0) if int(mark.group(1)) in cited else "", answer)
    return kept.strip(), tuple(_citation(n, passages[n - 1]) for n in cited)


def _citation(n: int, hit: Hit) -> Citation:
    return Citation(n, hit.chunk.chunk_id, hit.document.document_id, hit.document.title, hit.chunk.start, hit.chunk.end)
