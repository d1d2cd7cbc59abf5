"""Documents, versions and chunks in SQL: what exists, and what may be seen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, delete, func, insert, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from advanced_rag.models.documents import Chunk, DocumentInfo, DocumentVersion, Page
from advanced_rag.models.identity import Reader
from advanced_rag.storage.cursors import decode_cursor, encode_cursor
from advanced_rag.storage.database import TenantTransaction
from advanced_rag.storage.document_rows import NewVersion, chunk_of, chunk_row, info_of, version_of, version_row
from advanced_rag.storage.hydration import is_current
from advanced_rag.storage.rights import open_to
from advanced_rag.storage.tables import chunks, document_access, document_versions, documents, now


@dataclass(frozen=True, slots=True)
class DocumentState:
    """Where a document stands: its versions so far, the content of the current one and how many chunks it has."""

    current_version: int | None
    last_version: int
    content_hash: str | None
    chunks: int = 0


class DocumentRepository:
    """The documents of one tenant; writes need a transaction."""

    def __init__(self, transaction: TenantTransaction) -> None:
        self._connection = transaction.connection
        self._tenant = transaction.tenant

    def lock(self, document_ids: Sequence[str]) -> dict[str, DocumentState]:
        """Make sure the rows of some documents exist, hold them until the transaction ends, and return their state."""
        moment = now()
        rows = [
            {
                "tenant_id": self._tenant,
                "id": document_id,
                "last_version": 0,
                "version_floor": 0,
                "created_at": moment,
                "updated_at": moment,
            }
            for document_id in sorted(document_ids)  # one order for everybody: no deadlock
        ]
        self._connection.execute(self._insert_missing(), rows)
        return self.hold(document_ids)

    def hold(self, document_ids: Sequence[str]) -> dict[str, DocumentState]:
        """Hold the rows there are of some documents until the transaction ends, and return their state."""
        self._connection.execute(
            select(documents.c.id)
            .where(self._owned(documents), documents.c.id.in_(document_ids))
            .order_by(documents.c.id)
            .with_for_update()
        ).all()
        return self.states(document_ids)

    def states(self, document_ids: Sequence[str]) -> dict[str, DocumentState]:
        """Return the state of the documents that have a row."""
        found = self._connection.execute(
            select(
                documents.c.id,
                documents.c.current_version,
                documents.c.last_version,
                document_versions.c.content_hash,
                document_versions.c.chunk_count,
            )
            .select_from(documents.outerjoin(document_versions, is_current()))
            .where(self._owned(documents), documents.c.id.in_(document_ids))
        )
        return {
            row.id: DocumentState(row.current_version, row.last_version, row.content_hash, row.chunk_count or 0)
            for row in found
        }

    def add_versions(self, versions: Sequence[NewVersion]) -> None:
        """Store versions that are not visible yet."""
        if not versions:
            return
        moment = now()
        self._connection.execute(insert(document_versions), [version_row(self._tenant, item, moment) for item in versions])
        self._add_chunks([chunk for item in versions for chunk in item.chunks])
        self._set_each(
            [{"key": item.document.document_id, "value": item.document.version} for item in versions],
            update(documents)
            .where(self._owned(documents), documents.c.id == bindparam("key"))
            .values(last_version=bindparam("value")),
        )

    def fill(self, version: DocumentVersion, text: str, pieces: Sequence[Chunk], source: Mapping[str, Any]) -> bool:
        """Put into a version what was found in its file; False when the version is gone."""
        filled = self._connection.execute(
            update(document_versions)
            .where(
                self._owned(document_versions),
                document_versions.c.document_id == version.document_id,
                document_versions.c.version == version.version,
                document_versions.c.state == "indexing",
            )
            .values(
                title=version.title,
                text=text,
                bytes=len(text.encode()),
                chunk_count=len(pieces),
                source=dict(source),
            )
            .returning(document_versions.c.version)
        )
        if filled.scalar_one_or_none() is None:
            return False
        self.forget_chunks(version.document_id, version.version, version.version + 1)
        self._add_chunks(pieces)
        return True

    def source(self, document_id: str, version: int) -> Mapping[str, Any] | None:
        """Return what is known of the file a version is made of; None for a text, or a version that is gone."""
        found = select(document_versions.c.source).where(
            self._owned(document_versions),
            document_versions.c.document_id == document_id,
            document_versions.c.version == version,
        )
        known: Mapping[str, Any] | None = self._connection.execute(found).scalar_one_or_none()
        return known

    def is_wanted(self, document_id: str, version: int) -> bool:
        """Tell whether a version is visible, or on its way to be."""
        found = select(document_versions.c.state).where(
            self._owned(document_versions),
            document_versions.c.document_id == document_id,
            document_versions.c.version == version,
            document_versions.c.state.in_(["indexing", "current"]),
        )
        return self._connection.execute(found).scalar_one_or_none() is not None

    def _add_chunks(self, pieces: Sequence[Chunk]) -> None:
        if pieces:
            self._connection.execute(insert(chunks), [chunk_row(self._tenant, chunk) for chunk in pieces])

    def activate(self, versions: Mapping[str, int]) -> dict[str, int]:
        """Make versions current where they are newer than what is; returns those that are current now.

        Never goes back: a version below the current one or below the floor a deletion left stays invisible.
        """
        self._set_each(
            [{"key": document_id, "value": version} for document_id, version in versions.items()],
            update(documents)
            .where(
                self._owned(documents),
                documents.c.id == bindparam("key"),
                documents.c.version_floor <= bindparam("value"),
                func.coalesce(documents.c.current_version, 0) < bindparam("value"),
            )
            .values(current_version=bindparam("value"), updated_at=now()),
        )
        states = self.states(list(versions))
        won = {key: version for key, version in versions.items() if key in states and states[key].current_version == version}
        self._mark_states(won)
        self.mark_failed({key: version for key, version in versions.items() if key not in won})
        return won

    def _mark_states(self, won: Mapping[str, int]) -> None:
        if not won:
            return
        superseded = {"state": "superseded", "superseded_at": now()}
        self._connection.execute(
            update(document_versions)
            .where(
                self._owned(document_versions),
                document_versions.c.document_id.in_(list(won)),
                document_versions.c.state == "current",
                self._keys(document_versions).not_in(list(won.items())),
            )
            .values(superseded)
        )
        self._connection.execute(
            update(document_versions)
            .where(self._owned(document_versions), self._keys(document_versions).in_(list(won.items())))
            .values(state="current")
        )

    def mark_failed(self, versions: Mapping[str, int]) -> None:
        """Say of versions that they will never be visible."""
        if not versions:
            return
        self._connection.execute(
            update(document_versions)
            .where(self._owned(document_versions), self._keys(document_versions).in_(list(versions.items())))
            .where(document_versions.c.state == "indexing")
            .values(state="failed")
        )

    def remove(self, document_id: str, reader: Reader, by: str | None = None) -> int | None:
        """Delete a document with all its text; returns the floor below which no version may return, None if missing.

        Who did it, and when, stays with the floor: a tombstone.
        """
        held = select(documents.c.last_version, documents.c.current_version).where(
            self._owned(documents), documents.c.id == document_id
        )
        row = self._connection.execute(_for(reader, held).with_for_update(of=documents)).one_or_none()
        if row is None or row.current_version is None:
            return None
        floor: int = row.last_version + 1
        self._connection.execute(
            update(documents)
            .where(self._owned(documents), documents.c.id == document_id)
            .values(
                current_version=None,
                version_floor=floor,
                owner=None,
                visibility="tenant",
                rights_version=documents.c.rights_version + 1,
                history_from=0,
                updated_at=now(),
                expires_at=None,
                deleted_at=now(),
                deleted_by=by,
                deleted_version=row.current_version,
            )
        )
        self._connection.execute(
            delete(document_access).where(self._owned(document_access), document_access.c.document_id == document_id)
        )
        self._connection.execute(
            delete(document_versions).where(self._owned(document_versions), document_versions.c.document_id == document_id)
        )
        return floor

    def forget_chunks(self, document_id: str, start: int, below: int) -> None:
        """Delete the chunks of a range of versions; their text stays with the version."""
        self._connection.execute(
            delete(chunks).where(
                self._owned(chunks),
                chunks.c.document_id == document_id,
                chunks.c.version >= start,
                chunks.c.version < below,
            )
        )

    def get(self, document_id: str, reader: Reader) -> DocumentInfo | None:
        """Return a visible document with its text and what is known of its file."""
        listing = self._listing(reader, document_versions.c.text)
        row = self._connection.execute(listing.where(documents.c.id == document_id)).one_or_none()
        return None if row is None else info_of(row, text=row.text)

    def find(self, document_ids: Sequence[str], reader: Reader) -> list[DocumentInfo]:
        """Return those of some documents that are visible."""
        rows = self._connection.execute(self._listing(reader).where(documents.c.id.in_(document_ids)))
        return [info_of(row) for row in rows]

    def expire_at(self, document_id: str, moment: datetime | None, reader: Reader) -> bool:
        """Say when a document is to be deleted, or that it is not; False when there is none to be seen."""
        if not self.find([document_id], reader):
            return False
        self._connection.execute(
            update(documents).where(self._owned(documents), documents.c.id == document_id).values(expires_at=moment)
        )
        return True

    def page(self, limit: int, cursor: str | None, reader: Reader) -> Page[DocumentInfo]:
        """List visible documents, oldest first."""
        statement = self._listing(reader).order_by(documents.c.created_at, documents.c.id).limit(limit + 1)
        if cursor is not None:
            statement = statement.where(tuple_(documents.c.created_at, documents.c.id) > tuple_(*decode_cursor(cursor)))
        rows = self._connection.execute(statement).all()
        more = rows[limit - 1] if len(rows) > limit else None
        return Page([info_of(row) for row in rows[:limit]], encode_cursor(more.created_at, more.id) if more else None)

    def version_chunks(self, document_id: str, version: int) -> tuple[DocumentVersion, list[Chunk]] | None:
        """Return a version and its chunks in order, whatever its state; None when it is gone."""
        row = self._connection.execute(
            select(document_versions, document_versions.c.metadata.label("document_metadata")).where(
                self._owned(document_versions),
                document_versions.c.document_id == document_id,
                document_versions.c.version == version,
            )
        ).one_or_none()
        if row is None:
            return None
        found = self._connection.execute(
            select(chunks)
            .where(self._owned(chunks), chunks.c.document_id == document_id, chunks.c.version == version)
            .order_by(chunks.c.ordinal)
        )
        return version_of(row), [chunk_of(item) for item in found]

    def counts(self, reader: Reader) -> tuple[int, int]:
        """Return how many documents and chunks are visible."""
        row = self._connection.execute(
            _for(
                reader,
                select(func.count(), func.coalesce(func.sum(document_versions.c.chunk_count), 0))
                .select_from(documents.join(document_versions, is_current()))
                .where(self._owned(documents)),
            )
        ).one()
        return int(row[0]), int(row[1])

    def _owned(self, table: Any) -> Any:
        return table.c.tenant_id == self._tenant

    def _keys(self, table: Any) -> Any:
        return tuple_(table.c.document_id, table.c.version)

    def _listing(self, reader: Reader, *extra: Any) -> Any:
        statement = (
            select(
                documents.c.id,
                documents.c.created_at,
                documents.c.updated_at,
                documents.c.expires_at,
                document_versions.c.document_id,
                document_versions.c.version,
                document_versions.c.title,
                document_versions.c.metadata.label("document_metadata"),
                document_versions.c.domain,
                document_versions.c.chunk_count,
                document_versions.c.source,
                *extra,
            )
            .select_from(documents.join(document_versions, is_current()))
            .where(self._owned(documents))
        )
        return _for(reader, statement)

    def _insert_missing(self) -> Any:
        dialect = postgresql if self._connection.dialect.name == "postgresql" else sqlite
        return dialect.insert(documents).on_conflict_do_nothing()

    def _set_each(self, parameters: list[dict[str, Any]], statement: Any) -> None:
        if parameters:
            self._connection.execute(statement, parameters)


def _for(reader: Reader, statement: Any) -> Any:
    return statement if reader.subjects is None else statement.where(open_to(sorted(reader.subjects)))
