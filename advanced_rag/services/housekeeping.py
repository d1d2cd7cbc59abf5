"""What is swept now and then: jobs that ended long ago, idempotency keys, files whose job is gone, what need not be kept."""

import asyncio
from collections.abc import Sequence
from functools import partial

from advanced_rag.config import JobSettings
from advanced_rag.services.retention import Retention
from advanced_rag.services.sql import Sql
from advanced_rag.storage.database import Transaction
from advanced_rag.storage.files import FileStore
from advanced_rag.storage.idempotency import IdempotencyBook
from advanced_rag.storage.jobs import JobRepository
from advanced_rag.telemetry.logs import get_logger

EVERY_S = 600.0  # seconds between sweeps
_BATCH = 500
_DAY_S = 86_400.0
_FILE_AGE_S = 3600.0  # younger ones may belong to an upload that is still coming in
_log = get_logger(__name__)


class Housekeeping:
    """Sweeps."""

    def __init__(self, database: Sql, files: FileStore, retention: Retention, settings: JobSettings) -> None:
        self._database = database
        self._files = files
        self._retention = retention
        self._settings = settings

    async def run(self) -> None:
        """Sweep: it may take long, and is to keep nobody waiting."""
        limit_s = self._settings.retention_days * _DAY_S
        while await self._database.write_across(lambda t: JobRepository(t, "").expire(limit_s, _BATCH)) == _BATCH:
            pass
        await self._database.write_across(lambda t: IdempotencyBook(t).expire())
        await self.sweep_files()
        await self._retention.run()

    async def sweep_files(self, older_than_s: float = _FILE_AGE_S) -> None:
        """Remove the files that no job needs; younger ones may be of a request that is not through yet."""
        left = await asyncio.to_thread(lambda: list(self._files.left(older_than_s)))
        for start in range(0, len(left), _BATCH):
            part = left[start : start + _BATCH]
            needed = await self._database.read_across(partial(_needed, [job_id for _, job_id in part]))
            for tenant, job_id in part:
                if job_id not in needed:
                    await asyncio.to_thread(self._files.remove, tenant, job_id)
                    _log.info("file_swept", job_id=job_id)


def _needed(job_ids: Sequence[str], transaction: Transaction) -> set[str]:
    return JobRepository(transaction, "").unended(job_ids)
