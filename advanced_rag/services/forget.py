"""Legal holds and forgetting: what must stay stays, and what must go leaves a receipt that it is gone."""

import hashlib
import hmac
import json
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime

from advanced_rag.exceptions import NotFoundError, OnHoldError
from advanced_rag.models.documents import TenantId
from advanced_rag.models.holds import ForgetKind, Hold, HoldKind, Receipt
from advanced_rag.models.identity import Principal, cache_scope
from advanced_rag.models.jobs import SUPERSEDED, SUPERSEDED_MESSAGE, Job, new_job
from advanced_rag.services.index import Index
from advanced_rag.services.removal import Removal
from advanced_rag.services.sql import Sql
from advanced_rag.storage.database import TenantTransaction
from advanced_rag.storage.documents import DocumentRepository
from advanced_rag.storage.forgetting import ForgettingRepository
from advanced_rag.storage.holds import HoldRepository, ReceiptRepository
from advanced_rag.storage.job_log import JobLog
from advanced_rag.storage.jobs import JobRepository
from advanced_rag.storage.rights import RightsRepository
from advanced_rag.storage.tables import now


@dataclass(frozen=True, slots=True)
class Traces:
    """What was in SQL of something: how much, by kind; who was answered from it; jobs that ended, purges of vectors."""

    document_ids: list[str]
    counts: dict[str, int]
    readers: set[str]
    ended: list[Job]
    purges: list[Job]


class ForgetService:
    """Holds, forgets, and tells what was forgotten."""

    def __init__(self, database: Sql, index: Index, removal: Removal, secret: bytes, *, owner: str, lease_s: float) -> None:
        self._database = database
        self._index = index
        self._removal = removal
        self._secret = secret
        self._owner = owner
        self._lease_s = lease_s

    async def hold(self, principal: Principal, kind: HoldKind, target: str, reason: str) -> Hold:
        """Keep something from being deleted."""
        return await self._database.write(
            principal.tenant, lambda t: HoldRepository(t).add(kind, target, reason, principal.user_id)
        )

    async def holds(self, tenant: TenantId) -> list[Hold]:
        """Return the holds of a tenant, newest first."""
        return await self._database.read(tenant, lambda t: HoldRepository(t).all())

    async def release(self, tenant: TenantId, hold_id: str) -> None:
        """End a hold; raises NotFoundError."""
        if not await self._database.write(tenant, lambda t: HoldRepository(t).release(hold_id)):
            raise NotFoundError("no such hold")

    async def receipts(self, tenant: TenantId, since: datetime | None, until: datetime | None) -> list[Receipt]:
        """Return the receipts of a period, newest first."""
        return await self._database.read(tenant, lambda t: ReceiptRepository(t).between(since, until))

    async def forget(self, principal: Principal, kind: ForgetKind, target: str) -> Receipt:
        """Remove a document, with what was said from it, or a user, with what is his alone; returns the receipt.

        Raises NotFoundError when there is no trace of it, OnHoldError.
        """
        if kind == "user":
            self._index.forget_queries(cache_scope(principal.tenant, target))
        tenant = principal.tenant
        traces, receipt = await self._database.write(tenant, lambda t: self._remove(t, principal, kind, target))
        ids, job_ids = traces.document_ids, [job.id for job in traces.ended]
        files = await self._removal.count_files(tenant, job_ids)
        await self._removal.remove_files(tenant, job_ids)
        await self._removal.purge_soon(tenant, traces.purges)
        left = await self._removal.left(tenant, ids, job_ids, lambda t: count_traces(t, kind, target, ids))
        proven = replace(receipt, removed={**receipt.removed, "files": files}, left={**receipt.left, **left})
        proven = self._signed(proven)
        await self._database.write(tenant, lambda t: ReceiptRepository(t).settle(proven))
        return proven

    def _remove(
        self, transaction: TenantTransaction, principal: Principal, kind: ForgetKind, target: str
    ) -> tuple[Traces, Receipt]:
        """Remove what is in SQL, queue the purge of what is in the index, and keep a receipt: a crash undoes none of it."""
        ids = [target] if kind == "document" else ForgettingRepository(transaction).owned(target)
        _check_holds(transaction, kind, target, ids)
        traces = remove_traces(transaction, kind, target, ids)
        if any(HoldRepository(transaction).is_held(user_id=user_id) for user_id in traces.readers):
            raise OnHoldError("a legal hold keeps what was said from a document")
        if not any(traces.counts.values()):
            raise NotFoundError("there is no trace of it")
        JobRepository(transaction, self._owner).add(traces.purges, lease_s=self._lease_s)
        self._removal.purge_late(transaction, traces.ended)
        named, unknown = named_in_receipts(self._secret, kind, target), dict.fromkeys((*traces.counts, "vectors", "files"))
        receipt = self._signed(Receipt(str(uuid.uuid4()), kind, named, principal.user_id, now(), traces.counts, unknown, ""))
        ReceiptRepository(transaction).add(receipt)
        return traces, receipt

    def _signed(self, receipt: Receipt) -> Receipt:
        return replace(receipt, digest=signature(self._secret, receipt))


def remove_traces(transaction: TenantTransaction, kind: ForgetKind, target: str, ids: Sequence[str]) -> Traces:
    """Remove some documents, and the user if it is one, from SQL."""
    traces = ForgettingRepository(transaction)
    # An answer that is being kept is there before, or sees what became of its sources.
    DocumentRepository(transaction).hold(ids)
    counts = count_traces(transaction, kind, target, ids)
    quotations = traces.quotations(ids)
    traces.blank(quotations)
    ended: list[Job] = []
    purges: list[Job] = []
    for document_id in ids:
        ended += JobLog(transaction).end_all(document_id, SUPERSEDED, SUPERSEDED_MESSAGE)
        floor = traces.forget_document(document_id)
        if floor is not None:
            purges.append(new_job(transaction.tenant, "purge", document_id, 0, floor))
    if kind == "user":
        traces.forget_user(target)
    return Traces(list(ids), counts, {item.user_id for item in quotations}, ended, purges)


def count_traces(transaction: TenantTransaction, kind: ForgetKind, target: str, ids: Sequence[str]) -> dict[str, int]:
    """Count what SQL has of some documents, and of the user if it is one."""
    traces = ForgettingRepository(transaction)
    counts = Counter({"answers": len(traces.quotations(ids))})
    for document_id in ids:
        counts.update({**traces.count_document(document_id), "jobs": traces.count_jobs(document_id)})
    if kind == "user":
        counts.update({f"user_{name}": count for name, count in traces.count_user(target).items()})
    return dict(counts)


def named_in_receipts(secret: bytes, kind: ForgetKind, target: str) -> str:
    """Return what receipts call a document or a user: it tells whoever knows the id, and nobody else."""
    return hmac.digest(secret, f"{kind}:{target}".encode(), hashlib.sha256).hex()


def signature(secret: bytes, receipt: Receipt) -> str:
    """Return the digest of all that a receipt says."""
    fields = json.dumps({**asdict(receipt), "at": receipt.at.isoformat(), "digest": ""}, sort_keys=True)
    return hmac.digest(secret, fields.encode(), hashlib.sha256).hex()


def _check_holds(transaction: TenantTransaction, kind: ForgetKind, target: str, ids: list[str]) -> None:
    holds, owners = HoldRepository(transaction), RightsRepository(transaction).of(ids)
    if any(holds.is_held(document_id=key, user_id=owners[key].rights.owner if key in owners else None) for key in ids):
        raise OnHoldError("a legal hold keeps a document")
    if kind == "user" and holds.is_held(user_id=target):
        raise OnHoldError("a legal hold keeps what is this user's")
