"""Retention: old versions, tombstones, and documents that expire go in their time. Nothing else goes by itself."""

from collections.abc import Callable
from datetime import timedelta
from itertools import groupby
from operator import itemgetter

from advanced_rag.config import DocumentSettings
from advanced_rag.models.documents import TenantId
from advanced_rag.models.identity import Reader
from advanced_rag.resilience.deadline import Deadline
from advanced_rag.services.removal import Buried, Removal, held_of
from advanced_rag.services.sql import Sql
from advanced_rag.storage.database import TenantTransaction, Transaction
from advanced_rag.storage.documents import DocumentRepository
from advanced_rag.storage.retention import RetentionBook, Tombstones
from advanced_rag.storage.tables import now
from advanced_rag.telemetry.logs import get_logger

_BATCH, _DOCUMENTS = 500, 100
_LONGEST_S = 5.0  # whoever sweeps keeps the leases of his process too
_log = get_logger(__name__)


class Retention:
    """Lets go of what the settings, or a document's own date, say is to go; legal holds keep it."""

    def __init__(self, database: Sql, removal: Removal, settings: DocumentSettings, *, failed_days: int) -> None:
        self._database = database
        self._removal = removal
        self._settings = settings
        self._failed_days = failed_days

    async def run(self) -> None:
        """Let go of some of all that is due now, as far as one comes in a few seconds; the rest is for the next time."""
        own, moment, deadline = self._settings, now(), Deadline.after(_LONGEST_S)
        aged, failed = moment - timedelta(days=own.version_days), moment - timedelta(days=self._failed_days)
        tombstones = moment - timedelta(days=own.tombstone_days)
        await self._sweep(lambda t: RetentionBook(t).drop_beyond(own.keep_versions, _BATCH), deadline)
        await self._sweep(lambda t: RetentionBook(t).drop_older(aged, _BATCH), deadline)
        await self._sweep(lambda t: RetentionBook(t).drop_failed(failed, _BATCH), deadline)
        await self._database.write_across(lambda t: RetentionBook(t).drop_tombstones(tombstones))
        await self._expire(deadline)

    async def _sweep(self, drop: Callable[[Transaction], int], deadline: Deadline) -> None:
        while dropped := await self._database.write_across(drop):
            _log.info("versions_dropped", versions=dropped)
            if deadline.has_passed:
                return

    async def _expire(self, deadline: Deadline) -> None:
        while await self._expire_some() and not deadline.has_passed:
            pass

    async def _expire_some(self) -> int:
        due = await self._database.read_across(lambda t: RetentionBook(t).expired(now(), _DOCUMENTS))
        of_tenants = groupby(sorted(due), key=itemgetter(0))
        return sum([await self._expire_in(tenant, [key for _, key in items]) for tenant, items in of_tenants])

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
