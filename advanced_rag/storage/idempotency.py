"""Requests that were answered, by the key their callers gave them: the same answer is given again."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, insert, select

from advanced_rag.storage.database import TenantTransaction, Transaction
from advanced_rag.storage.tables import idempotency_keys, now


@dataclass(frozen=True, slots=True)
class Answered:
    """What a request was, and what it was answered."""

    body_digest: str
    answer: Mapping[str, Any]


class IdempotencyRepository:
    """The answered requests of one tenant."""

    def __init__(self, transaction: TenantTransaction) -> None:
        self._connection = transaction.connection
        self._tenant = transaction.tenant

    def find(self, digest: str) -> Answered | None:
        """Return what a key was used for, while it is remembered."""
        row = self._connection.execute(
            select(idempotency_keys.c.body_digest, idempotency_keys.c.answer).where(
                idempotency_keys.c.tenant_id == self._tenant,
                idempotency_keys.c.digest == digest,
                idempotency_keys.c.expires_at > now(),
            )
        ).one_or_none()
        return None if row is None else Answered(row.body_digest, row.answer)

    def keep(self, digest: str, answered: Answered, lifetime: timedelta) -> None:
        """Remember an answer; a key used by another request meanwhile breaks the transaction."""
        moment = now()
        mine = (idempotency_keys.c.tenant_id == self._tenant, idempotency_keys.c.digest == digest)
        self._connection.execute(delete(idempotency_keys).where(*mine, idempotency_keys.c.expires_at <= moment))
        self._connection.execute(
            insert(idempotency_keys).values(
                tenant_id=self._tenant,
                digest=digest,
                body_digest=answered.body_digest,
                answer=dict(answered.answer),
                expires_at=moment + lifetime,
            )
        )


def expire(transaction: Transaction) -> None:
    """Forget the keys of every tenant whose time is up."""
    transaction.connection.execute(delete(idempotency_keys).where(idempotency_keys.c.expires_at <= now()))
