"""Who may see which document, in SQL."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, delete, exists, func, insert, or_, select, update

from advanced_rag.models.rights import Rights, from_subjects
from advanced_rag.storage.database import TenantTransaction
from advanced_rag.storage.tables import document_access, document_versions, documents


@dataclass(frozen=True, slots=True)
class StoredRights:
    """The rights of a document; the number tells whether they have changed since."""

    rights: Rights
    number: int


class RightsRepository:
    """The rights of one tenant's documents; writes need a transaction that holds the document's row."""

    def __init__(self, transaction: TenantTransaction) -> None:
        self._connection = transaction.connection
        self._tenant = transaction.tenant

    def of(self, document_ids: Sequence[str]) -> dict[str, StoredRights]:
        """Return the rights of the documents that have a row."""
        rows = self._connection.execute(
            select(documents.c.id, documents.c.owner, documents.c.visibility, documents.c.rights_version).where(
                documents.c.tenant_id == self._tenant, documents.c.id.in_(document_ids)
            )
        ).all()
        listed = self._listed([row.id for row in rows if row.visibility != "tenant"])
        return {
            row.id: StoredRights(from_subjects(row.owner, row.visibility, listed.get(row.id, ())), row.rights_version)
            for row in rows
        }

    def set(self, rights: Mapping[str, Rights]) -> None:
        """Replace the rights of documents; who may see one from now on does not see what it said before."""
        before = self.of(list(rights)) if rights else {}
        self._close_history([key for key, wanted in rights.items() if wanted.is_wider_than(before[key].rights)])
        for document_id, wanted in rights.items():
            self._connection.execute(
                update(documents)
                .where(documents.c.tenant_id == self._tenant, documents.c.id == document_id)
                .values(owner=wanted.owner, visibility=wanted.visibility, rights_version=documents.c.rights_version + 1)
            )
        self._connection.execute(
            delete(document_access).where(
                document_access.c.tenant_id == self._tenant, document_access.c.document_id.in_(list(rights))
            )
        )
        rows = [
            {"tenant_id": self._tenant, "document_id": document_id, "subject": subject}
            for document_id, wanted in rights.items()
            for subject in wanted.subjects or ()
        ]
        if rows:
            self._connection.execute(insert(document_access), rows)

    def _close_history(self, document_ids: Sequence[str]) -> None:
        if not document_ids:
            return
        self._connection.execute(
            update(documents)
            .where(documents.c.tenant_id == self._tenant, documents.c.id.in_(document_ids))
            .values(history_from=func.coalesce(documents.c.current_version, documents.c.history_from))
        )

    def plan(self, document_id: str, version: int, wanted: StoredRights) -> None:
        """Say what the rights become with a version, unless they are changed before it is seen."""
        rights = wanted.rights
        self._connection.execute(
            update(document_versions)
            .where(
                document_versions.c.tenant_id == self._tenant,
                document_versions.c.document_id == document_id,
                document_versions.c.version == version,
            )
            .values(
                rights={
                    "owner": rights.owner,
                    "visibility": rights.visibility,
                    "users": sorted(rights.users),
                    "groups": sorted(rights.groups),
                    "number": wanted.number,
                }
            )
        )

    def planned(self, versions: Mapping[str, int]) -> dict[str, StoredRights]:
        """Return what the rights of documents become with their versions, where that was planned."""
        rows = self._connection.execute(
            select(document_versions.c.document_id, document_versions.c.version, document_versions.c.rights).where(
                document_versions.c.tenant_id == self._tenant,
                document_versions.c.document_id.in_(list(versions)),
                document_versions.c.rights.is_not(None),
            )
        )
        return {
            row.document_id: rights_of(row.rights) for row in rows if row.rights and row.version == versions[row.document_id]
        }

    def _listed(self, document_ids: Sequence[str]) -> dict[str, list[str]]:
        if not document_ids:
            return {}
        found: dict[str, list[str]] = {}
        for document_id, subject in self._connection.execute(
            select(document_access.c.document_id, document_access.c.subject).where(
                document_access.c.tenant_id == self._tenant, document_access.c.document_id.in_(document_ids)
            )
        ):
            found.setdefault(document_id, []).append(subject)
        return found


def rights_of(stored: Mapping[str, Any]) -> StoredRights:
    """Return the rights that are kept with a version."""
    users, groups = frozenset(stored["users"]), frozenset(stored["groups"])
    return StoredRights(Rights(stored["owner"], stored["visibility"], users, groups), stored["number"])


def open_to(subjects: Any) -> ColumnElement[bool]:
    """Return the condition that a row of ``documents`` may be seen by one of some subjects."""
    is_listed = exists().where(
        document_access.c.tenant_id == documents.c.tenant_id,
        document_access.c.document_id == documents.c.id,
        document_access.c.subject.in_(subjects),
    )
    return or_(documents.c.visibility == "tenant", is_listed)
