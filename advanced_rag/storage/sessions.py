"""Conversations in SQL: sessions, messages, feedback."""

import uuid
from dataclasses import asdict
from typing import Any

from sqlalchemy import and_, delete, func, insert, select, tuple_, update

from advanced_rag.exceptions import OnHoldError
from advanced_rag.models.chat import Citation, Message, Role, Session, Turn
from advanced_rag.models.documents import Page
from advanced_rag.storage.cursors import decode_cursor, encode_cursor
from advanced_rag.storage.database import TenantTransaction
from advanced_rag.storage.holds import HoldRepository
from advanced_rag.storage.tables import feedback, messages, now, sessions


class SessionRepository:
    """The conversations of one user."""

    def __init__(self, transaction: TenantTransaction, user_id: str) -> None:
        self._transaction = transaction
        self._connection = transaction.connection
        self._tenant = transaction.tenant
        self._user_id = user_id

    def create(self, title: str) -> Session:
        """Open a session."""
        moment = now()
        session = Session(str(uuid.uuid4()), title, self._user_id, moment, moment)
        self._connection.execute(
            insert(sessions).values(
                id=session.id,
                tenant_id=self._tenant,
                user_id=self._user_id,
                title=title,
                created_at=moment,
                updated_at=moment,
            )
        )
        return session

    def get(self, session_id: str, *, lock: bool = False) -> Session | None:
        """Return a session, held until the transaction ends when ``lock`` is set."""
        statement = select(sessions).where(self._owned(), sessions.c.id == session_id)
        row = self._connection.execute(statement.with_for_update() if lock else statement).one_or_none()
        return None if row is None else _session(row)

    def page(self, limit: int, cursor: str | None) -> Page[Session]:
        """List sessions, newest first."""
        statement = (
            select(sessions)
            .where(self._owned())
            .order_by(sessions.c.created_at.desc(), sessions.c.id.desc())
            .limit(limit + 1)
        )
        if cursor is not None:
            statement = statement.where(tuple_(sessions.c.created_at, sessions.c.id) < tuple_(*decode_cursor(cursor)))
        rows = self._connection.execute(statement).all()
        more = rows[limit - 1] if len(rows) > limit else None
        return Page([_session(row) for row in rows[:limit]], encode_cursor(more.created_at, more.id) if more else None)

    def rename(self, session_id: str, title: str) -> Session | None:
        """Change the title of a session."""
        row = self._connection.execute(
            update(sessions)
            .where(self._owned(), sessions.c.id == session_id)
            .values(title=title, updated_at=now())
            .returning(*sessions.c)
        ).one_or_none()
        return None if row is None else _session(row)

    def remove(self, session_id: str) -> bool:
        """Delete a session with its messages and their feedback; False when there is none. Raises OnHoldError."""
        if self.get(session_id) is not None and HoldRepository(self._transaction).is_held(user_id=self._user_id):
            raise OnHoldError("a legal hold keeps this session")
        found = self._connection.execute(delete(sessions).where(self._owned(), sessions.c.id == session_id))
        return found.rowcount > 0

    def recent(self, session_id: str, limit: int) -> list[Message]:
        """Return the last messages of a session, oldest first."""
        rows = self._connection.execute(self._history(session_id).order_by(messages.c.position.desc()).limit(limit)).all()
        return [_message(row) for row in reversed(rows)]

    def history(self, session_id: str, limit: int, cursor: str | None) -> Page[Message]:
        """List the messages of a session, oldest first."""
        statement = self._history(session_id).order_by(messages.c.position).limit(limit + 1)
        if cursor is not None:
            _, position = decode_cursor(cursor)
            statement = statement.where(messages.c.position > (int(position) if position.isdigit() else 0))
        rows = self._connection.execute(statement).all()
        more = rows[limit - 1] if len(rows) > limit else None
        next_cursor = encode_cursor(more.created_at, str(more.position)) if more else None
        return Page([_message(row) for row in rows[:limit]], next_cursor)

    def add_turn(self, session_id: str, turn: Turn) -> str:
        """Store a question and its answer together; returns the id of the answer."""
        last = self._connection.execute(
            select(func.coalesce(func.max(messages.c.position), 0)).where(
                messages.c.tenant_id == self._tenant, messages.c.session_id == session_id
            )
        ).scalar_one()
        asked = self._row(session_id, last + 1, "user", turn.question)
        replied = self._row(session_id, last + 2, "assistant", turn.answer) | {
            "citations": [asdict(citation) for citation in turn.citations],
            "answered": turn.answered,
            "provider": turn.provider,
            "lineage": asdict(turn.lineage),
        }
        self._connection.execute(insert(messages), [asked, replied])
        self._connection.execute(update(sessions).where(self._owned(), sessions.c.id == session_id).values(updated_at=now()))
        answer_id: str = replied["id"]
        return answer_id

    def lineage(self, message_id: str) -> dict[str, Any] | None:
        """Return what made an answer; None when there is no such answer, or it is older than lineages."""
        return self._connection.execute(
            select(messages.c.lineage)
            .select_from(messages.join(sessions, sessions.c.id == messages.c.session_id))
            .where(self._owned(), messages.c.tenant_id == self._tenant, messages.c.id == message_id)
        ).scalar_one_or_none()

    def add_feedback(self, message_id: str, rating: int, comment: str | None) -> str | None:
        """Store what somebody thinks of an answer; None when the message does not exist."""
        found = self._connection.execute(
            select(messages.c.id)
            .select_from(messages.join(sessions, sessions.c.id == messages.c.session_id))
            .where(self._owned(), messages.c.tenant_id == self._tenant, messages.c.id == message_id)
        ).one_or_none()
        if found is None:
            return None
        feedback_id = str(uuid.uuid4())
        self._connection.execute(
            insert(feedback).values(
                id=feedback_id,
                tenant_id=self._tenant,
                message_id=message_id,
                rating=rating,
                comment=comment,
                created_at=now(),
            )
        )
        return feedback_id

    def _owned(self) -> Any:
        return and_(sessions.c.tenant_id == self._tenant, sessions.c.user_id == self._user_id)

    def _history(self, session_id: str) -> Any:
        session = select(sessions.c.id).where(self._owned(), sessions.c.id == session_id).scalar_subquery()
        return select(messages).where(messages.c.tenant_id == self._tenant, messages.c.session_id == session)

    def _row(self, session_id: str, position: int, role: Role, content: str) -> dict[str, Any]:
        return {
            "id": str(uuid.uuid4()),
            "tenant_id": self._tenant,
            "session_id": session_id,
            "position": position,
            "role": role,
            "content": content,
            "citations": [],
            "answered": None,
            "provider": None,
            "lineage": None,
            "created_at": now(),
        }


def _session(row: Any) -> Session:
    return Session(row.id, row.title, row.user_id, row.created_at, row.updated_at)


def _message(row: Any) -> Message:
    return Message(
        id=row.id,
        session_id=row.session_id,
        role=row.role,
        content=row.content,
        citations=tuple(Citation(**item) for item in row.citations),
        answered=row.answered,
        provider=row.provider,
        created_at=row.created_at,
    )
