"""Taking a document's or a user's traces out of SQL, and counting what is left of them."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, null, select, update

from advanced_rag.models.rights import from_subjects, subjects
from advanced_rag.storage.database import TenantTransaction
from advanced_rag.storage.tables import (
    api_keys,
    chunks,
    document_access,
    document_versions,
    documents,
    feedback,
    job_events,
    jobs,
    messages,
    page_vectors,
    refresh_tokens,
    sessions,
    tickets,
    users,
)

FORGOTTEN = "[forgotten]"
_PAGE = 500


@dataclass(frozen=True, slots=True)
class Quotation:
    """Where an answer stands that was made of documents, and whose it is: the question is before it."""

    answer_id: str
    user_id: str
    session_id: str
    position: int


class ForgettingRepository:
    """The traces in one tenant."""

    def __init__(self, transaction: TenantTransaction) -> None:
        self._connection = transaction.connection
        self._tenant = transaction.tenant

    def quotations(self, document_ids: Collection[str]) -> list[Quotation]:
        """Return the answers that were made of some documents."""
        wanted = set(document_ids)
        return [
            Quotation(row.id, row.user_id, row.session_id, row.position)
            for row in (self._answers() if wanted else ())
            if wanted & _documents_of(row)
        ]

    def blank(self, quotations: Sequence[Quotation]) -> None:
        """Blank answers, and the questions they answered."""
        for item in quotations:
            self._blank(messages.c.id == item.answer_id)
            self._blank(messages.c.session_id == item.session_id, messages.c.position == item.position - 1)
            self._blank_title(item.session_id)

    def is_forgotten(self, versions: Mapping[str, int]) -> bool:
        """Tell whether one of some versions of documents was forgotten; none of them will be while the transaction lasts."""
        found = (
            select(documents.c.id, documents.c.version_floor)
            .where(
                documents.c.tenant_id == self._tenant, documents.c.id.in_(list(versions)), documents.c.deleted_at.is_(None)
            )
            .order_by(documents.c.id)
            .with_for_update(read=True)
        )
        return any(versions[row.id] < row.version_floor for row in self._connection.execute(found))

    def forget_document(self, document_id: str) -> int | None:
        """Delete all that hangs on a document; returns the floor below which no version may return, None if it has no row.

        Its id stays with that floor, so that nothing older comes back.
        """
        held = select(documents.c.last_version).where(documents.c.tenant_id == self._tenant, documents.c.id == document_id)
        last = self._connection.execute(held.with_for_update()).scalar_one_or_none()
        if last is None:
            return None
        floor = int(last) + 1
        self._connection.execute(
            update(documents)
            .where(documents.c.tenant_id == self._tenant, documents.c.id == document_id)
            .values(
                current_version=None,
                last_version=floor,
                version_floor=floor,
                owner=None,
                visibility="tenant",
                rights_version=documents.c.rights_version + 1,
                expires_at=None,
                deleted_at=None,
                deleted_by=None,
                deleted_version=None,
                history_from=0,
            )
        )
        self._delete(jobs, *_work_on(document_id))
        self._delete(document_versions, document_versions.c.document_id == document_id)
        self._delete(document_access, document_access.c.document_id == document_id)
        return floor

    def count_document(self, document_id: str) -> dict[str, int]:
        """Return how many rows tell of a document, by table."""
        pieces = select(chunks.c.chunk_id).where(chunks.c.tenant_id == self._tenant, chunks.c.document_id == document_id)
        return {
            "documents": self._count(documents, documents.c.id == document_id, documents.c.current_version.is_not(None)),
            "versions": self._count(document_versions, document_versions.c.document_id == document_id),
            "chunks": self._count(chunks, chunks.c.document_id == document_id),
            "pages": self._count(page_vectors, page_vectors.c.chunk_id.in_(pieces)),
            "access": self._count(document_access, document_access.c.document_id == document_id),
        }

    def count_jobs(self, document_id: str) -> int:
        """Return how many jobs tell of a document, and of the file it came as."""
        return self._count(jobs, *_work_on(document_id))

    def owned(self, user_id: str) -> list[str]:
        """Return the private documents of a user."""
        found = select(documents.c.id).where(
            documents.c.tenant_id == self._tenant, documents.c.owner == user_id, documents.c.visibility == "private"
        )
        return list(self._connection.execute(found).scalars())

    def forget_user(self, user_id: str) -> dict[str, int]:
        """Delete what is a user's, and his name from what is not; returns how much there was, by table."""
        removed = self.count_user(user_id)
        own = select(sessions.c.id).where(sessions.c.tenant_id == self._tenant, sessions.c.user_id == user_id)
        said = select(messages.c.id).where(messages.c.tenant_id == self._tenant, messages.c.session_id.in_(own))
        self._delete(feedback, feedback.c.message_id.in_(said))
        self._delete(messages, messages.c.session_id.in_(own))
        self._delete(sessions, sessions.c.user_id == user_id)
        self._delete(tickets, tickets.c.user_id == user_id)
        self._delete(api_keys, api_keys.c.user_id == user_id)
        self._delete(refresh_tokens, refresh_tokens.c.user_id == user_id)
        self._delete(users, users.c.id == user_id)
        self._delete(document_access, document_access.c.subject.in_(subjects([user_id], ())))
        for table in (jobs, job_events):
            self._connection.execute(
                update(table).where(table.c.tenant_id == self._tenant, table.c.user_id == user_id).values(user_id=None)
            )
        self._connection.execute(
            update(documents)
            .where(documents.c.tenant_id == self._tenant, documents.c.owner == user_id)
            .values(owner=None, rights_version=documents.c.rights_version + 1)
        )
        self._connection.execute(
            update(documents)
            .where(documents.c.tenant_id == self._tenant, documents.c.deleted_by == user_id)
            .values(deleted_by=None)
        )
        self._forget_plans(user_id)
        return removed

    def _forget_plans(self, user_id: str) -> None:
        """Take back what rights were to become with a version, where that names the user."""
        kept = select(document_versions.c.document_id, document_versions.c.version, document_versions.c.rights).where(
            document_versions.c.tenant_id == self._tenant, document_versions.c.rights.is_not(None)
        )
        for row in self._connection.execute(kept).all():
            if row.rights and user_id in {row.rights["owner"], *row.rights["users"]}:
                self._connection.execute(
                    update(document_versions)
                    .where(
                        document_versions.c.tenant_id == self._tenant,
                        document_versions.c.document_id == row.document_id,
                        document_versions.c.version == row.version,
                    )
                    .values(rights=null())
                )

    def count_user(self, user_id: str) -> dict[str, int]:
        """Return how many rows tell of a user, by table."""
        own = select(sessions.c.id).where(sessions.c.tenant_id == self._tenant, sessions.c.user_id == user_id)
        return {
            "users": self._count(users, users.c.id == user_id),
            "keys": self._count(api_keys, api_keys.c.user_id == user_id),
            "sessions": self._count(sessions, sessions.c.user_id == user_id),
            "messages": self._count(messages, messages.c.session_id.in_(own)),
            "access": self._count(document_access, document_access.c.subject.in_(subjects([user_id], ()))),
            "jobs": self._count(jobs, jobs.c.user_id == user_id),
            "owned": self._count(documents, documents.c.owner == user_id),
            "deleted": self._count(documents, documents.c.deleted_by == user_id),
        }

    def document_ids(self) -> Iterator[str]:
        """Yield the id of every document there is or was."""
        return self._ids(select(documents.c.id).where(documents.c.tenant_id == self._tenant))

    def user_ids(self) -> Iterator[str]:
        """Yield the id of every user somewhere named as one, perhaps more than once."""
        named = (
            (users, users.c.id),
            (sessions, sessions.c.user_id),
            (api_keys, api_keys.c.user_id),
            (documents, documents.c.owner),
        )
        for table, column in named:
            yield from self._ids(select(column).distinct().where(table.c.tenant_id == self._tenant, column.is_not(None)))
        subject = document_access.c.subject
        for name in self._ids(select(subject).distinct().where(document_access.c.tenant_id == self._tenant)):
            yield from from_subjects(None, "private", [name]).users

    def _ids(self, statement: Any) -> Iterator[str]:
        return iter(self._connection.execute(statement, execution_options={"yield_per": _PAGE}).scalars())

    def _answers(self) -> Any:
        after = ""
        while rows := self._connection.execute(
            select(
                messages.c.id,
                sessions.c.user_id,
                messages.c.session_id,
                messages.c.position,
                messages.c.citations,
                messages.c.lineage,
            )
            .join(sessions, sessions.c.id == messages.c.session_id)
            .where(messages.c.tenant_id == self._tenant, messages.c.role == "assistant", messages.c.id > after)
            .order_by(messages.c.id)
            .limit(_PAGE)
        ).all():
            yield from rows
            after = rows[-1].id

    def _blank(self, *conditions: Any) -> None:
        self._connection.execute(
            update(messages)
            .where(messages.c.tenant_id == self._tenant, *conditions)
            .values(content=FORGOTTEN, citations=[], lineage=None)
        )

    def _blank_title(self, session_id: str) -> None:
        # It may be the question the session began with.
        self._connection.execute(
            update(sessions).where(sessions.c.tenant_id == self._tenant, sessions.c.id == session_id).values(title=FORGOTTEN)
        )

    def _delete(self, table: Any, *conditions: Any) -> None:
        self._connection.execute(delete(table).where(table.c.tenant_id == self._tenant, *conditions))

    def _count(self, table: Any, *conditions: Any) -> int:
        counted = select(func.count()).select_from(table).where(table.c.tenant_id == self._tenant, *conditions)
        return int(self._connection.execute(counted).scalar_one())


def _work_on(document_id: str) -> tuple[Any, Any]:
    return jobs.c.document_id == document_id, jobs.c.kind != "purge"


def _documents_of(row: Any) -> set[str]:
    mentioned: Sequence[Any] = [*row.citations, *((row.lineage or {}).get("sources", ()))]
    return {item["document_id"] for item in mentioned}
