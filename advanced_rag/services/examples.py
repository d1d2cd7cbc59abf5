"""The bundled example documents, so that a new installation has something to ask about."""

from collections.abc import Callable

from advanced_rag.models.documents import DocumentInput
from advanced_rag.models.identity import LOCAL
from advanced_rag.resources import resource
from advanced_rag.services.documents import DocumentService
from advanced_rag.services.ingest import IngestService
from advanced_rag.text.blocks import first_heading


async def ingest_examples(ingest: IngestService, documents: DocumentService, announce: Callable[[str], None]) -> None:
    """Ingest the examples into the default tenant when it has no document yet."""
    if (await documents.counts(LOCAL))[0]:
        return
    found = [_read(path.name, path.read_text(encoding="utf-8")) for path in sorted(resource("examples").glob("*.*"))]
    if found:
        announce(f"ingesting {len(found)} example documents")
        await ingest.ingest(LOCAL, found)


def _read(name: str, text: str) -> DocumentInput:
    title = first_heading(text) or name.rsplit(".", 1)[0].replace("-", " ").capitalize()
    return DocumentInput(name, title, text, {"source": "examples", "format": name.rsplit(".", 1)[-1]})
