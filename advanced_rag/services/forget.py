"""Legal holds and forgetting: what must stay stays, and what must go leaves a receipt that it is gone."""

import asyncio
import hashlib
import hmac
import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import datetime

from advanced_rag.exceptions import NotFoundError, OnHoldError
from advanced_rag.models.documents import TenantId
from advanced_rag.models.holds import ForgetKind, Hold, HoldKind, Receipt
from advanced_rag.models.identity import Principal, cache_scope
from advanced_rag.models.jobs import Job, new_job
from advanced_rag.services.index import Index
from advanced_rag.services.removal import Removal
from advanced_rag.services.sql import Sql
from advanced_rag.storage.database import TenantTransaction
from advanced_rag.storage.forgetting import ForgettingRepository
from advanced_rag.storage.holds import HoldRepository, ReceiptRepository
from advanced_rag.storage.jobs import JobRepository
from advanced_rag.storage.rights import RightsRepository
from advanced_rag.storage.tables import now


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
        if kind == "document":
            return await self._forget_documents(principal, kind, target, [target])
        self._index.forget_queries(cache_scope(principal.tenant, target))
        own = await self._database.read(principal.tenant, lambda t: ForgettingRepository(t).owned(target))
        return await self._forget_documents(principal, kind, target, own)

    async def _forget_documents(self, principal: Principal, kind: ForgetKind, target: str, ids: list[str]) -> Receipt:
        tenant = principal.tenant
        removed, purges = await self._database.write(tenant, lambda t: self._remove(t, kind, target, ids))
        if not any(removed.values()):
            raise NotFoundError("there is no trace of it")
        await self._removal.purge(tenant, purges)
        left = await self._database.read(tenant, lambda t: _count(t, kind, target, ids))
        left["vectors"] = sum(await asyncio.gather(*(self._index.count(tenant, document_id) for document_id in ids)))
        receipt = self._receipt(kind, target, principal.user_id, removed, left)
        await self._database.write(tenant, lambda t: ReceiptRepository(t).add(receipt))
        return receipt

    def _remove(
        self, transaction: TenantTransaction, kind: ForgetKind, target: str, ids: list[str]
    ) -> tuple[dict[str, int], list[Job]]:
        """Remove what is in SQL, and queue the purge of what is in the index: a crash in between leaves it queued."""
        _check_holds(transaction, kind, target, ids)
        traces = ForgettingRepository(transaction)
        removed: dict[str, int] = {}
        purges: list[Job] = []
        for document_id in ids:
            found = {**traces.count_document(document_id), "answers": traces.forget_quotations(document_id)}
            removed = {name: removed.get(name, 0) + count for name, count in found.items()}
            floor = traces.forget_document(document_id)
            if floor is not None:
                purges.append(new_job(transaction.tenant, "purge", document_id, 0, floor))
        JobRepository(transaction, self._owner).add(purges, lease_s=self._lease_s)
        if kind == "user":
            removed |= {f"user_{name}": count for name, count in traces.forget_user(target).items()}
        return removed, purges

    def _receipt(
        self, kind: ForgetKind, target: str, by: str, removed: Mapping[str, int], left: Mapping[str, int]
    ) -> Receipt:
        named = hmac.digest(self._secret, f"{kind}:{target}".encode(), hashlib.sha256).hex()
        receipt = Receipt(str(uuid.uuid4()), kind, named, by, now(), removed, left, digest="")
        fields = json.dumps({**asdict(receipt), "at": receipt.at.isoformat()}, sort_keys=True)
        return replace(receipt, digest=hmac.digest(self._secret, fields.encode(), hashlib.sha256).hex())


def _check_holds(transaction: TenantTransaction, kind: ForgetKind, target: str, ids: list[str]) -> None:
    holds, owners = HoldRepository(transaction), RightsRepository(transaction).of(ids)
    if any(holds.is_held(document_id=key, user_id=owners[key].rights.owner if key in owners else None) for key in ids):
        raise OnHoldError("a legal hold keeps a document")
    if kind == "user" and holds.is_held(user_id=target):
        raise OnHoldError("a legal hold keeps what is this user's")


def _count(transaction: TenantTransaction, kind: ForgetKind, target: str, ids: list[str]) -> dict[str, int]:
    traces = ForgettingRepository(transaction)
    left: dict[str, int] = {}
    for document_id in ids:
        left = {name: left.get(name, 0) + count for name, count in traces.count_document(document_id).items()}
    if kind == "user":
        left |= {f"user_{name}": count for name, count in traces.count_user(target).items()}
    return left
