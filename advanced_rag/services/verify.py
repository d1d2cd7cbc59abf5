"""Verification: does the index hold exactly what SQL says exists?"""

from collections.abc import Sequence

from advanced_rag.models.documents import TenantId
from advanced_rag.models.index import CollectionReport, VerifyReport
from advanced_rag.services.index import Index
from advanced_rag.services.jobs import UPKEEP, JobWorker
from advanced_rag.services.reconcile import Reconciler
from advanced_rag.services.tenants import TenantService


class VerifyService:
    """Compares SQL and Milvus, chunk by chunk, and mends what differs."""

    def __init__(self, index: Index, reconciler: Reconciler, tenants: TenantService, jobs: JobWorker) -> None:
        self._index = index
        self._reconciler = reconciler
        self._tenants = tenants
        self._jobs = jobs

    async def verify(self, tenant: TenantId, *, repair: bool) -> VerifyReport:
        """Finish what is due, then compare every collection that is searched, or kept for a rollback.

        Raises UnavailableError when a store is silent.
        """
        return await self._verify([tenant], repair=repair)

    async def verify_all(self, *, repair: bool) -> VerifyReport:
        """Do the same for all tenants together."""
        return await self._verify([tenant.id for tenant in await self._tenants.all()], repair=repair)

    async def _verify(self, tenants: Sequence[TenantId], *, repair: bool) -> VerifyReport:
        await self._jobs.run_due(UPKEEP)
        checked = [item for item in self._index.layout.collections if item.state != "building" and item.is_usable]
        reports: list[CollectionReport] = []
        for collection in checked:
            found = [await self._reconciler.check(tenant, collection, repair=repair) for tenant in tenants]
            reports.append(_total(found))
        return VerifyReport(reports)


def _total(reports: Sequence[CollectionReport]) -> CollectionReport:
    return CollectionReport(
        reports[0].collection,
        sum(item.expected for item in reports),
        sum(item.found for item in reports),
        sum(item.missing for item in reports),
        sum(item.orphaned for item in reports),
        sum(item.repaired for item in reports),
    )
