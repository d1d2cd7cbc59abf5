"""Ingestion: documents become visible, searchable versions; nothing is lost, nothing is there twice.

They are taken in (services/intake.py), then brought to their end (services/pipeline.py): here, while the caller waits, or by
the workers (services/jobs.py).
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from advanced_rag.exceptions import OverloadedError, RagError, UnavailableError
from advanced_rag.models.documents import DocumentInput, IngestResult, TenantId
from advanced_rag.models.identity import Principal
from advanced_rag.models.jobs import SUPERSEDED, SUPERSEDED_MESSAGE, new_job
from advanced_rag.models.quota import Consumption
from advanced_rag.services.held import Held
from advanced_rag.services.intake import Admitted, Begun, Intake, RequestKey
from advanced_rag.services.pipeline import Pipeline, Work
from advanced_rag.services.quotas import QuotaService
from advanced_rag.services.sql import Sql
from advanced_rag.storage.database import TenantTransaction
from advanced_rag.storage.documents import DocumentRepository
from advanced_rag.storage.job_log import JobLog
from advanced_rag.storage.jobs import JobRepository
from advanced_rag.telemetry import metrics
from advanced_rag.telemetry.logs import get_logger

WAVE = 64
WAVES_AT_ONCE = 2

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Ingested:
    """What documents were answered, in their order; ``results`` is None while some of them are still in work."""

    admitted: list[Admitted]
    results: list[IngestResult] | None


class IngestService:
    """Puts documents in."""

    def __init__(
        self,
        database: Sql,
        intake: Intake,
        pipeline: Pipeline,
        quotas: QuotaService,
        held: Held,
        *,
        owner: str,
        wake: Callable[[], None],
    ) -> None:
        self._database = database
        self._intake = intake
        self._pipeline = pipeline
        self._quotas = quotas
        self._held = held
        self._owner = owner
        self._wake = wake
        self._waves = asyncio.Semaphore(WAVES_AT_ONCE)
        self._in_work: set[asyncio.Task[dict[str, IngestResult]]] = set()

    async def queue(
        self, principal: Principal, documents: Sequence[DocumentInput], key: RequestKey | None = None
    ) -> list[Admitted]:
        """Take documents with different ids in, to be finished by the workers; the answers stand in their order.

        Raises KeyReusedError.
        """
        taken = await self._intake.take(principal, documents, here=False, key=key)
        self._count(principal.tenant, taken.begun)
        _count_others([item.status for item in taken.admitted])
        self._wake()
        return taken.admitted

    async def answered(self, principal: Principal, key: RequestKey) -> list[Admitted] | None:
        """Return what a request was answered before, if it was; raises KeyReusedError."""
        before = await self._intake.answered(principal, key)
        return None if before is None else before.admitted

    async def ingest(
        self, principal: Principal, documents: Sequence[DocumentInput], *, within_s: float | None = None
    ) -> Ingested:
        """Ingest texts with different ids, here; what takes longer than ``within_s`` goes on after this returns.

        A document that could not be indexed fails alone; only a database that does not answer fails the call.
        """
        admitted: list[Admitted] = []
        waves: list[asyncio.Task[dict[str, IngestResult]]] = []
        for start in range(0, len(documents), WAVE):
            taken = await self._intake.take(principal, documents[start : start + WAVE], here=True)
            self._count(principal.tenant, taken.begun)
            admitted += taken.admitted
            wave = asyncio.create_task(self._finish(principal.tenant, taken.begun))
            self._in_work.add(wave)
            wave.add_done_callback(self._in_work.discard)
            waves.append(wave)
        _, unfinished = await asyncio.wait(waves, timeout=within_s)
        if unfinished:
            return Ingested(admitted, None)
        finished = {key: result for wave in waves for key, result in wave.result().items()}
        results = [finished.get(item.document_id) or _result(item) for item in admitted]
        _count_others([result.status for result in results])
        return Ingested(admitted, results)

    async def close(self) -> None:
        """Cut off what is in work: it is left to whoever comes next."""
        for wave in self._in_work:
            wave.cancel()
        await asyncio.gather(*self._in_work, return_exceptions=True)

    def _count(self, tenant: TenantId, begun: Sequence[Begun]) -> None:
        self._quotas.use(tenant, Consumption(0, sum(chunk.tokens for item in begun for chunk in item.version.chunks)))

    async def _finish(self, tenant: TenantId, begun: Sequence[Begun]) -> dict[str, IngestResult]:
        if not begun:
            return {}
        works = [Work(item.job, item.version.document, item.version.chunks, item.rights) for item in begun]
        try:
            with self._held.holding([item.job for item in begun]):
                async with self._waves:
                    current = await self._pipeline.finish(tenant, works)
        except (UnavailableError, OverloadedError) as error:
            _log.warning("ingest_failed", code=error.code, documents=len(begun))
            await self._database.write(tenant, partial(self._give_up, begun=begun, error=error))
            return {item.job.document_id: _failed(item, error) for item in begun}
        return {item.job.document_id: _succeeded(item, current) for item in begun}

    def _give_up(self, transaction: TenantTransaction, begun: Sequence[Begun], error: RagError) -> None:
        """Mark versions as failed and queue the purge of what may have been written of them."""
        jobs = JobRepository(transaction, self._owner)
        owned = jobs.fail([item.job.id for item in begun], error.code, error.message)
        failed = [item.job for item in begun if item.job.id in owned]
        DocumentRepository(transaction).mark_failed({job.document_id: job.start for job in failed})
        jobs.add([new_job(job.tenant, "purge", job.document_id, job.start, job.below) for job in failed])
        JobLog(transaction).tell([job.news("failed", "chunked", code=error.code) for job in failed])


def _count_others(statuses: Sequence[str]) -> None:
    """Count what did not become a version; the pipeline counts what did."""
    for status in statuses:
        if status in {"unchanged", "failed"}:
            metrics.DOCUMENTS_INGESTED.labels(status).inc()


def _result(item: Admitted) -> IngestResult:
    if item.status == "unchanged":
        return IngestResult(item.document_id, "unchanged", item.version, item.chunks)
    return IngestResult(item.document_id, "failed", item.version, 0, item.error_code, item.error_message)


def _succeeded(item: Begun, current: dict[str, int]) -> IngestResult:
    version = item.version
    if current.get(item.job.document_id) != item.job.start:
        return IngestResult(item.job.document_id, "failed", item.job.start, 0, SUPERSEDED, SUPERSEDED_MESSAGE)
    return IngestResult(
        item.job.document_id, "replaced" if item.replaces else "created", item.job.start, len(version.chunks)
    )


def _failed(item: Begun, error: RagError) -> IngestResult:
    return IngestResult(item.job.document_id, "failed", None, 0, error.code, error.message)
