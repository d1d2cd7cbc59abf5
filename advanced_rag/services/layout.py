"""The collections in use, as of a moment; which those are changes while the service runs (services/generations.py)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from advanced_rag.exceptions import EncoderMissingError
from advanced_rag.models.documents import Chunk, DocumentVersion, TenantId
from advanced_rag.models.index import SPARSE, VISUAL, Generation, GenerationState, domain_of
from advanced_rag.models.rights import Rights
from advanced_rag.services.embedding import Embedder
from advanced_rag.storage.collections import IndexRow
from advanced_rag.storage.filters import facets, labels
from advanced_rag.storage.ids import document_key
from advanced_rag.text.chunk import passage


@dataclass(frozen=True, slots=True)
class Row:
    """A chunk as the index holds it, without a vector, and what tells which collections it belongs in."""

    domain: str | None
    has_text: bool
    has_page: bool
    content: IndexRow


@dataclass(frozen=True, slots=True)
class Collection:
    """A collection in use, and what encodes texts for it, where that is to be had."""

    generation: Generation
    state: GenerationState
    embedder: Embedder | None

    @property
    def is_embedded(self) -> bool:
        """Whether it holds vectors of texts: neither BM25 nor pages, whose vectors stand in SQL, need an encoder."""
        return self.generation.kind not in {SPARSE, VISUAL}

    @property
    def is_usable(self) -> bool:
        """Whether it can be searched and written to here."""
        return self.embedder is not None or not self.is_embedded

    def holds(self, row: Row) -> bool:
        """Tell whether a chunk belongs in it."""
        if self.generation.kind == VISUAL:
            return row.has_page
        return row.has_text and self.generation.domain in {None, row.domain}


@dataclass(frozen=True, slots=True)
class Layout:
    """Every collection in use, as of a moment (monotonic seconds); ``live`` are those that are searched, by their kind.

    ``left`` are collections nobody writes to that are perhaps still there: to be dropped, or of a kind that is switched off.
    """

    collections: tuple[Collection, ...]
    seen_at: float = -math.inf
    left: tuple[Generation, ...] = ()
    live: Mapping[str, Collection] = field(init=False)

    def __post_init__(self) -> None:
        searched: dict[str, Collection] = {}
        for state in ("live", "retired"):  # where the live one cannot be searched here, the one it replaced still can
            for item in (item for item in self.collections if item.state == state):
                known = searched.get(item.generation.kind)
                if known is None or (item.is_usable and not known.is_usable):
                    searched[item.generation.kind] = item
        object.__setattr__(self, "live", searched)

    def embedder(self, kind: str) -> Embedder:
        """Return what encodes for the collection of a kind that is searched; raises EncoderMissingError."""
        found = self.live[kind].embedder
        if found is None:
            raise EncoderMissingError(f"the encoder of the {kind} index is not to be had here")
        return found

    def domains(self) -> list[str]:
        """Return the domains that can be searched."""
        return [domain for kind in self.live if (domain := domain_of(kind)) is not None]


def row_of(tenant: TenantId, document: DocumentVersion, chunk: Chunk, rights: Rights) -> Row:
    """Return a chunk with what tells where it belongs."""
    return Row(document.domain, bool(chunk.text), chunk.page is not None, index_row(tenant, document, chunk, rights))


def index_row(tenant: TenantId, document: DocumentVersion, chunk: Chunk, rights: Rights) -> IndexRow:
    """Return a chunk as the index holds it, without a vector."""
    return IndexRow(
        chunk_id=chunk.chunk_id,
        tenant=tenant,
        document_key=document_key(tenant, document.document_id),
        version=document.version,
        facets=facets(document.declared, document.metadata),
        text=passage(document.title, chunk.headings, chunk.text),
        readers=labels(rights.subjects),
    )
