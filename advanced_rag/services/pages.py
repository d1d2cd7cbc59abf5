"""The visual route: pages are drawn in the parser's processes, encoded a few at a time, and their vectors kept in SQL.

What is there already is not done again: a crash between two batches costs one batch.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from advanced_rag.encoders.visual import Picture, opened
from advanced_rag.exceptions import JobLostError
from advanced_rag.file_errors import FileError, ParserCrashedError, ParserTimeoutError, UnrenderableError
from advanced_rag.models.documents import Chunk
from advanced_rag.models.jobs import Job
from advanced_rag.services.reading import Parser
from advanced_rag.services.sql import Sql
from advanced_rag.services.visual import VisualEmbedder
from advanced_rag.storage.database import TenantTransaction
from advanced_rag.storage.documents import DocumentRepository
from advanced_rag.storage.job_log import JobLog
from advanced_rag.storage.jobs import JobRepository
from advanced_rag.storage.pages import PageRepository, PageVectors

# What a machine that is too busy looks like as well: worth a second try.
PERHAPS = (ParserCrashedError, ParserTimeoutError)


class PageCapture:
    """Looks at the pages of documents."""

    def __init__(self, database: Sql, parser: Parser, embedder: VisualEmbedder, *, owner: str) -> None:
        self._database = database
        self._parser = parser
        self._embedder = embedder
        self._settings = embedder.settings
        self._owner = owner

    async def look(self, job: Job, chunks: Sequence[Chunk], path: Path) -> Job:
        """Keep the vectors of a version's pages, each at its first chunk; returns the job with how many there are.

        A page that cannot be drawn is left out. Raises UnrenderableError when that leaves nothing of the document,
        JobLostError, EncoderError, OverloadedError.
        """
        places = _places(chunks, self._settings.max_pages)
        fingerprint = self._embedder.encoder.fingerprint
        seen = await self._database.read(job.tenant, lambda t: PageRepository(t).seen(list(places.values()), fingerprint))
        todo = [page for page, chunk_id in places.items() if chunk_id not in seen]
        job = _counted(job, len(seen), len(places))
        for start in range(0, len(todo), self._settings.batch_pages):
            batch = {page: places[page] for page in todo[start : start + self._settings.batch_pages]}
            vectors = await self._encoded(job, batch, path)
            job = _counted(job, job.details["pages_seen"] + len(vectors), len(places))
            await self._database.write(job.tenant, partial(self._store, job, vectors))
        if not job.details["pages_seen"] and not any(chunk.text for chunk in chunks):
            raise UnrenderableError
        return job

    async def _encoded(self, job: Job, batch: Mapping[int, str], path: Path) -> list[PageVectors]:
        pictures = {chunk_id: await self._picture(job, page, path) for page, chunk_id in batch.items()}
        drawn = {chunk_id: picture for chunk_id, picture in pictures.items() if picture is not None}
        packed = await self._embedder.pages(list(drawn.values())) if drawn else []
        fingerprint = self._embedder.encoder.fingerprint
        return [PageVectors(chunk_id, fingerprint, vectors) for chunk_id, vectors in zip(drawn, packed, strict=True)]

    async def _picture(self, job: Job, page: int, path: Path) -> Picture | None:
        side = self._settings.longest_side_px
        try:
            jpeg = await self._parser.render(path, job.details["media_type"], page - 1, side)
            return await asyncio.to_thread(opened, jpeg, side)
        except FileError as error:
            if isinstance(error, PERHAPS) and job.attempts < 2:
                raise
            return None

    def _store(self, job: Job, vectors: Sequence[PageVectors], transaction: TenantTransaction) -> None:
        if not DocumentRepository(transaction).is_wanted(job.document_id, job.start):
            raise JobLostError("the document was deleted meanwhile")
        if not JobRepository(transaction, self._owner).advance(job):
            raise JobLostError("the job went to another worker meanwhile")
        PageRepository(transaction).put(vectors)
        told = {name: job.details[name] for name in ("pages_seen", "pages_to_see")}
        JobLog(transaction).tell([job.news("running", "chunked", **told)])


def _places(chunks: Sequence[Chunk], most: int) -> dict[int, str]:
    """Return the pages to look at, from 1, and the first chunk of each."""
    places: dict[int, str] = {}
    for chunk in sorted(chunks, key=lambda chunk: chunk.ordinal):
        if chunk.page is not None and chunk.page <= most:
            places.setdefault(chunk.page, chunk.chunk_id)
    return places


def _counted(job: Job, seen: int, wanted: int) -> Job:
    return replace(job, details={**job.details, "pages_seen": seen, "pages_to_see": wanted})
