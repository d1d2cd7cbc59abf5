"""The audit log: who did what to which id, in a chain nobody can change without its breaking."""

import asyncio
from datetime import timedelta

from advanced_rag.exceptions import RagError
from advanced_rag.models.audit import Deed, Entry, first_break
from advanced_rag.models.documents import Page, TenantId
from advanced_rag.resilience.batcher import MicroBatcher
from advanced_rag.services.sql import Sql
from advanced_rag.services.tenants import TenantService
from advanced_rag.storage.audit import AuditFilter, AuditRepository
from advanced_rag.storage.database import TenantTransaction
from advanced_rag.storage.holds import HoldRepository
from advanced_rag.storage.tables import now
from advanced_rag.telemetry import metrics
from advanced_rag.telemetry.logs import get_logger

_AT_ONCE, _WAITING = 64, 1024
_EXPIRE_EVERY_S = 3600.0
_log = get_logger(__name__)


class AuditService:
    """Writes deeds down; those that come together are written together."""

    def __init__(self, database: Sql, tenants: TenantService, secret: bytes, retention: timedelta) -> None:
        self._database = database
        self._tenants = tenants
        self._secret = secret
        self._retention = retention
        self._writes: MicroBatcher[TenantId, Deed, None] = MicroBatcher(
            self._append, max_batch=_AT_ONCE, max_waiting=_WAITING
        )
        metrics.begin(metrics.AUDITED, ["written", "lost"])

    async def write(self, tenant: TenantId, deed: Deed) -> None:
        """Write a deed down; what cannot be written is logged, for it has been done already."""
        try:
            await self._writes.submit(tenant, deed)
        except RagError as error:
            metrics.AUDITED.labels("lost").inc()
            _log.error("audit_not_written", code=error.code, tenant=tenant, action=deed.action, actor=deed.actor)
        else:
            metrics.AUDITED.labels("written").inc()

    async def page(self, tenant: TenantId, wanted: AuditFilter, limit: int, cursor: str | None) -> Page[Entry]:
        """List the entries of a tenant, newest first."""
        return await self._database.read(tenant, lambda t: AuditRepository(t).page(wanted, limit, cursor))

    async def verify(self, tenant: TenantId) -> tuple[int, int | None]:
        """Return how many entries there are, and the number of the first that was tampered with."""

        def check(transaction: TenantTransaction) -> tuple[int, int | None]:
            entries = list(AuditRepository(transaction).all())
            return len(entries), first_break(self._secret, entries)

        return await self._database.read(tenant, check)

    async def run(self) -> None:
        """Let old entries go, until cancelled."""
        while True:
            try:
                for tenant in await self._tenants.all():
                    await self._expire(tenant.id)
            except RagError as error:
                _log.warning("audit_not_expired", code=error.code)
            await asyncio.sleep(_EXPIRE_EVERY_S)

    async def _expire(self, tenant: TenantId) -> None:
        before = now() - self._retention

        def expire(transaction: TenantTransaction) -> int:
            return 0 if HoldRepository(transaction).is_held() else AuditRepository(transaction).expire(before)

        count = await self._database.write(tenant, expire)
        if count:
            _log.info("audit_expired", tenant=tenant, entries=count)

    async def _append(self, tenant: TenantId, deeds: list[Deed]) -> list[None]:
        await self._database.write(tenant, lambda t: AuditRepository(t).append(self._secret, deeds))
        return [None] * len(deeds)
