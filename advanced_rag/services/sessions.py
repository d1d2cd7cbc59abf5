"""Conversations: each belongs to one user, and nobody else learns that it is there."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from advanced_rag.exceptions import NotFoundError
from advanced_rag.models.chat import Message, Session, Source, Turn
from advanced_rag.models.documents import Page
from advanced_rag.models.identity import Principal
from advanced_rag.resilience.deadline import Deadline
from advanced_rag.services.sql import Sql
from advanced_rag.storage.database import TenantTransaction
from advanced_rag.storage.forgetting import FORGOTTEN, ForgettingRepository
from advanced_rag.storage.sessions import SessionRepository

T = TypeVar("T")
Work = Callable[[SessionRepository], T]

_TITLE_CHARS = 80


class SessionService:
    """Keeps conversations, and what people think of their answers."""

    def __init__(self, database: Sql) -> None:
        self._database = database

    async def create(self, principal: Principal, title: str) -> Session:
        """Open an empty session."""
        return await self._write(principal, lambda r: r.create(title))

    async def get(self, principal: Principal, session_id: str, deadline: Deadline | None = None) -> Session:
        """Return a session; raises NotFoundError."""
        return _found(await self._read(principal, lambda r: r.get(session_id), deadline))

    async def page(self, principal: Principal, limit: int, cursor: str | None) -> Page[Session]:
        """List sessions, newest first."""
        return await self._read(principal, lambda r: r.page(limit, cursor))

    async def rename(self, principal: Principal, session_id: str, title: str) -> Session:
        """Change the title of a session; raises NotFoundError."""
        return _found(await self._write(principal, lambda r: r.rename(session_id, title)))

    async def delete(self, principal: Principal, session_id: str) -> None:
        """Delete a session with all its messages; raises NotFoundError."""
        if not await self._write(principal, lambda r: r.remove(session_id)):
            raise NotFoundError("no such session")

    async def messages(self, principal: Principal, session_id: str, limit: int, cursor: str | None) -> Page[Message]:
        """List the messages of a session, oldest first; raises NotFoundError."""
        await self.get(principal, session_id)
        return await self._read(principal, lambda r: r.history(session_id, limit, cursor))

    async def recent(self, principal: Principal, session_id: str, limit: int, deadline: Deadline) -> list[Message]:
        """Return the last messages of a session, oldest first; raises NotFoundError."""
        await self.get(principal, session_id, deadline)
        return await self._read(principal, lambda r: r.recent(session_id, limit), deadline)

    async def add_turn(self, principal: Principal, session_id: str | None, turn: Turn) -> tuple[str, str]:
        """Keep a question and its answer, in a session or a new one; returns the ids of the session and the answer.

        Of what was forgotten while the answer was made, nothing is kept. Raises NotFoundError when the session has been
        deleted meanwhile.
        """

        def add(transaction: TenantTransaction) -> tuple[str, str]:
            kept = _blanked(turn) if _is_forgotten(transaction, turn.lineage.sources) else turn
            repository = SessionRepository(transaction, principal.user_id)
            if session_id is None:
                session = repository.create(kept.question[:_TITLE_CHARS])
            else:
                session = _found(repository.get(session_id, lock=True))
            return session.id, repository.add_turn(session.id, kept)

        return await self._database.write(principal.tenant, add)

    async def lineage(self, principal: Principal, message_id: str) -> dict[str, Any]:
        """Return what made an answer; raises NotFoundError."""
        found = await self._read(principal, lambda r: r.lineage(message_id))
        if found is None:
            raise NotFoundError("no such answer")
        return found

    async def add_feedback(self, principal: Principal, message_id: str, rating: int, comment: str | None) -> str:
        """Keep what somebody thinks of an answer; raises NotFoundError."""
        feedback_id = await self._write(principal, lambda r: r.add_feedback(message_id, rating, comment))
        if feedback_id is None:
            raise NotFoundError("no such message")
        return feedback_id

    async def _read(self, principal: Principal, work: Work[T], deadline: Deadline | None = None) -> T:
        return await self._database.read(
            principal.tenant, lambda transaction: work(SessionRepository(transaction, principal.user_id)), deadline
        )

    async def _write(self, principal: Principal, work: Work[T]) -> T:
        return await self._database.write(
            principal.tenant, lambda transaction: work(SessionRepository(transaction, principal.user_id))
        )


def _is_forgotten(transaction: TenantTransaction, sources: Sequence[Source]) -> bool:
    versions: dict[str, int] = {}
    for source in sources:
        versions[source.document_id] = min(source.version, versions.get(source.document_id, source.version))
    return bool(versions) and ForgettingRepository(transaction).is_forgotten(versions)


def _blanked(turn: Turn) -> Turn:
    lineage = replace(turn.lineage, sources=())
    return replace(turn, question=FORGOTTEN, answer=FORGOTTEN, citations=(), lineage=lineage)


def _found(session: Session | None) -> Session:
    if session is None:
        raise NotFoundError("no such session")
    return session
