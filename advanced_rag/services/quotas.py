"""Quotas: what is used in a day is counted here and added up in SQL every few seconds, for all replicas together."""

import asyncio
from collections import defaultdict
from datetime import UTC, date, datetime, time, timedelta

from advanced_rag.exceptions import QuotaExceededError, RagError, StorageQuotaExceededError
from advanced_rag.models.documents import TenantId
from advanced_rag.models.quota import NOTHING, Consumption, Holdings, Quotas, Usage
from advanced_rag.services.sql import Sql
from advanced_rag.storage.database import TenantTransaction, Transaction
from advanced_rag.storage.tables import now
from advanced_rag.storage.usage import UsageBook, UsageRepository
from advanced_rag.telemetry.logs import get_logger

_EVERY_S = 2.0
_NONE = Consumption(0, 0)
_log = get_logger(__name__)


class QuotaService:
    """Counts requests and tokens, and refuses what is beyond; replicas learn of one another within seconds."""

    def __init__(self, database: Sql) -> None:
        self._database = database
        self._pending: dict[TenantId, Consumption] = defaultdict(lambda: _NONE)
        self._known: dict[TenantId, tuple[Consumption, Quotas]] = {}
        self._day = now().date()

    def admit(self, tenant: TenantId) -> None:
        """Count a request; raises QuotaExceededError when the day's requests or tokens are used up."""
        used, quotas = self._known.get(tenant, (_NONE, Quotas()))
        used = used + self._pending[tenant]
        for name, count in (("requests_per_day", used.requests), ("tokens_per_day", used.tokens)):
            limit = getattr(quotas, name)
            if limit is not None and count >= limit:
                raise QuotaExceededError(name, _seconds_until_tomorrow(now()))
        self.use(tenant, Consumption(1, 0))

    def use(self, tenant: TenantId, more: Consumption) -> None:
        """Count what was used."""
        self._pending[tenant] = self._pending[tenant] + more

    async def usage(self, tenant: TenantId) -> Usage:
        """Return what a tenant holds, has used today, and may."""
        await self.settle()

        def read(transaction: TenantTransaction) -> Usage:
            repository = UsageRepository(transaction)
            return Usage(repository.holdings(), repository.today(now().date()), repository.quotas())

        return await self._database.read(tenant, read)

    async def set(self, tenant: TenantId, quotas: Quotas) -> None:
        """Say what a tenant may from now on."""
        await self._database.write(tenant, lambda t: UsageRepository(t).set_quotas(quotas))
        await self.settle()

    async def run(self) -> None:
        """Add up what was used now and then, until cancelled."""
        while True:
            await asyncio.sleep(_EVERY_S)
            try:
                await self.settle()
            except RagError as error:
                _log.warning("usage_not_added_up", code=error.code)

    async def settle(self) -> None:
        """Add what was used here to SQL, and learn what was used in all."""
        day, used = self._day, dict(self._pending)
        self._pending.clear()
        self._day = now().date()

        def settle(transaction: Transaction) -> dict[TenantId, tuple[Consumption, Quotas]]:
            UsageBook(transaction).add(day, used)
            return UsageBook(transaction).of(self._day)

        run = self._database.write_across if used else self._database.read_across
        try:
            self._known = await run(settle)
        except RagError:
            for tenant, more in used.items():
                self.use(tenant, more)
            raise


def _seconds_until_tomorrow(moment: datetime) -> int:
    tomorrow: date = moment.date() + timedelta(days=1)
    return int((datetime.combine(tomorrow, time(), UTC) - moment).total_seconds()) + 1


class Room:
    """What a tenant may still hold, while documents are taken in one after the other."""

    def __init__(self, transaction: TenantTransaction) -> None:
        self._usage = UsageRepository(transaction)
        self._quotas = self._usage.quotas(lock=True)
        self._held = self._usage.holdings() if self._quotas.limit_storage else NOTHING

    def take(self, document_id: str, needed: Holdings) -> StorageQuotaExceededError | None:
        """Take the room a document needs, in place of what it had; returns why there is none."""
        if not self._quotas.limit_storage:
            return None
        after = self._held - self._usage.holdings(document_id) + needed
        exceeded = after.exceeds(self._quotas)
        if exceeded is not None:
            return StorageQuotaExceededError(f"the quota {exceeded} is used up", quota=exceeded)
        self._held = after
        return None
