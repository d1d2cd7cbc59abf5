"""Retention: old versions, tombstones, and documents that expire go in their time. Nothing else goes by itself."""

from collections.abc import Callable
from datetime import timedelta
from itertools import groupby
from operator import itemgetter

from advanced_rag.config import DocumentSettings
from advanced_rag.models.documents import TenantId
from advanced_rag.models.identity import Reader
from advanced_rag.services.removal import Buried, Removal, held_of
from advanced_rag.services.sql import Sql
from advanced_rag.storage.database import TenantTransaction, Transaction
from advanced_rag.storage.documents import DocumentRepository
from advanced_rag.storage.retention import RetentionBook, Tombstones
from advanced_rag.storage.tables import now
from advanced_rag.telemetry.logs import get_logger

_BATCH = 500
_log = get_logger(__name__)


class Retention:
    """Lets go of what the settings, or a document's own date, say is to go; legal holds keep it."""

    def __init__(self, database: Sql, removal: Removal, settings: DocumentSettings, *, failed_days: int) -> None:
        self._database = database
        self._removal = removal
        self._settings = settings
        self._failed_days = failed_days

    async def run(self) -> None:
        """Let go of what is due now."""
        own, moment = self._settings, now()
        versions, failed = moment - timedelta(days=own.version_days), moment - timedelta(days=self._failed_days)
        tombstones = moment - timedelta(days=own.tombstone_days)
        await self._sweep("versions_dropped", lambda t: RetentionBook(t).drop_versions(own.keep_versions, versions, _BATCH))
        await self._sweep("failed_versions_dropped", lambda t: RetentionBook(t).drop_failed(failed, _BATCH))
        await self._database.write_across(lambda t: RetentionBook(t).drop_tombstones(tombstones))
        await self._expire()

    async def _sweep(self, event: str, drop: Callable[[Transaction], int]) -> None:
        count = _BATCH
        while count == _BATCH:
            count = await self._database.write_across(drop)
            if count:
                _log.info(event, versions=count)

    async def _expire(self) -> None:
        gone = 1
        while gone:
            due = await self._database.read_across(lambda t: RetentionBook(t).expired(now(), _BATCH))
            gone = 0
            for tenant, items in groupby(sorted(due), key=itemgetter(0)):
                gone += await self._expire_in(tenant, [document_id for _, document_id in items])

    async def _expire_in(self, tenant: TenantId, document_ids: list[str]) -> int:
        def bury(transaction: TenantTransaction) -> list[Buried]:
            DocumentRepository(transaction).hold(document_ids)
            due = Tombstones(transaction).due(document_ids, now())
            held = held_of(transaction, due)
            return self._removal.bury(transaction, [key for key in due if key not in held], Reader(tenant, None), None)

        buried = await self._database.write(tenant, bury)
        await self._removal.clear(tenant, buried)
        _log.info("documents_expired", tenant=tenant, documents=len(buried))
        return len(buried)
