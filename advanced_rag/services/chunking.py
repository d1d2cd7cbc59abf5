"""Chunking with the settings and the tokenizer of this installation."""

from collections.abc import Callable, Sequence

from advanced_rag.config import ChunkingSettings
from advanced_rag.encoders.base import Encoder
from advanced_rag.models.documents import Chunk, Span, TenantId
from advanced_rag.models.parsed import PageStart
from advanced_rag.storage.ids import chunk_id
from advanced_rag.text.chunk import ChunkLimits, chunk_text

_SPECIAL_TOKENS = 2


class Chunker:
    """Cuts texts into chunks that fit the encoder there is now; calls compute, callers use threads."""

    def __init__(self, encoder: Callable[[], Encoder], settings: ChunkingSettings) -> None:
        self._encoder = encoder
        self._settings = settings

    def spans(self, text: str, title: str, pages: Sequence[PageStart] = ()) -> list[Span]:
        """Cut a text into spans; raises EncoderMissingError."""
        encoder, own = self._encoder(), self._settings
        limits = ChunkLimits(
            max_tokens=min(own.max_tokens, encoder.max_tokens),
            special_tokens=_SPECIAL_TOKENS,
            overlap_tokens=own.overlap_tokens,
        )
        return chunk_text(text, title, encoder.tokenizer, limits, pages)


def with_every_page(spans: Sequence[Span], pages: Sequence[PageStart]) -> list[Span]:
    """Return the spans in their order, with one that holds nothing for each page that has none."""
    numbers = {span.page for span in spans}
    empty = [Span(page.start, page.start, (), 0, page.number) for page in pages if page.number not in numbers]
    return sorted([*spans, *empty], key=lambda span: span.page or 0)


def chunks_of(tenant: TenantId, document_id: str, version: int, text: str, spans: Sequence[Span]) -> tuple[Chunk, ...]:
    """Return the chunks that spans of a version's text are."""
    return tuple(
        Chunk(
            chunk_id=chunk_id(tenant, document_id, version, ordinal),
            document_id=document_id,
            version=version,
            ordinal=ordinal,
            text=text[span.start : span.end],
            headings=span.headings,
            start=span.start,
            end=span.end,
            tokens=span.tokens,
            page=span.page,
        )
        for ordinal, span in enumerate(spans)
    )
