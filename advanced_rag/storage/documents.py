"""Documents, versions and chunks in SQL: what exists, and what may be seen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, bindparam, delete, func, insert, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from advanced_rag.models.documents import Chunk, DocumentInfo, DocumentVersion, Page
from advanced_rag.models.identity import Reader
from advanced_rag.storage.cursors import decode_cursor, encode_cursor
from advanced_rag.storage.database import TenantTransaction
from advanced_rag.storage.hydration import is_current
from advanced_rag.storage.rights import open_to
from advanced_rag.storage.tables import chunks, document_access, document_versions, documents, now


@dataclass(frozen=True, slots=True)
class DocumentState:
    """Where a document stands: its versions so far and the content of the current one."""

    current_version: int | None
    last_version: int
    content_hash: str | None


@dataclass(frozen=True, slots=True)
class NewVersion:
    """A version about to be indexed, with its chunks."""

    document: DocumentVersion
    text: str
    content_hash: str
    chunks: tuple[Chunk, ...]
    source: Mapping[str, Any] | None = None


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
            select(documents.c.id, documents.c.current_version, documents.c.last_version, document_versions.c.content_hash)
            .select_from(documents.outerjoin(document_versions, is_current()))
            .where(self._owned(documents), documents.c.id.in_(document_ids))
        )
        return {row.id: DocumentState(row.current_version, row.last_version, row.content_hash) for row in found}

    def add_versions(self, versions: Sequence[NewVersion]) -> None:
        """Store versions that are not visible yet."""
        if not versions:
            return
        moment = now()
        self._connection.execute(insert(document_versions), [self._version_row(item, moment) for item in versions])
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
            self._connection.execute(insert(chunks), [self._chunk_row(chunk) for chunk in pieces])

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
        self._mark_states(versions, won)
        return won

    def _mark_states(self, versions: Mapping[str, int], won: Mapping[str, int]) -> None:
        older = (
            update(document_versions)
            .where(
                self._owned(document_versions),
                document_versions.c.document_id == bindparam("key"),
                document_versions.c.version < bindparam("value"),
                document_versions.c.state == "current",
            )
            .values(state="superseded")
        )
        this = (
            update(document_versions)
            .where(
                self._owned(document_versions),
                document_versions.c.document_id == bindparam("key"),
                document_versions.c.version == bindparam("value"),
            )
            .values(state=bindparam("new_state"))
        )
        self._set_each([{"key": key, "value": version} for key, version in won.items()], older)
        self._set_each(
            [
                {"key": key, "value": version, "new_state": "current" if key in won else "superseded"}
                for key, version in versions.items()
            ],
            this,
        )

    def mark_failed(self, versions: Mapping[str, int]) -> None:
        """Say of versions that they will never be visible."""
        self._connection.execute(
            update(document_versions)
            .where(self._owned(document_versions), self._keys(document_versions).in_(list(versions.items())))
            .where(document_versions.c.state == "indexing")
            .values(state="failed")
        )

    def remove(self, document_id: str, reader: Reader) -> int | None:
        """Delete a document with all its text; returns the floor below which no version may return, None if missing."""
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
                updated_at=now(),
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
        """Return a visible document with its text."""
        row = self._connection.execute(
            self._listing(reader, document_versions.c.text).where(documents.c.id == document_id)
        ).one_or_none()
        return None if row is None else _info(row, text=row.text)

    def page(self, limit: int, cursor: str | None, reader: Reader) -> Page[DocumentInfo]:
        """List visible documents, oldest first."""
        statement = self._listing(reader).order_by(documents.c.created_at, documents.c.id).limit(limit + 1)
        if cursor is not None:
            statement = statement.where(tuple_(documents.c.created_at, documents.c.id) > tuple_(*decode_cursor(cursor)))
        rows = self._connection.execute(statement).all()
        more = rows[limit - 1] if len(rows) > limit else None
        return Page([_info(row) for row in rows[:limit]], encode_cursor(more.created_at, more.id) if more else None)

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
        return _version(row), [_chunk(item) for item in found]

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
                document_versions.c.document_id,
                document_versions.c.version,
                document_versions.c.title,
                document_versions.c.metadata.label("document_metadata"),
                document_versions.c.domain,
                document_versions.c.chunk_count,
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

    def _version_row(self, item: NewVersion, moment: Any) -> dict[str, Any]:
        document = item.document
        return {
            "tenant_id": self._tenant,
            "document_id": document.document_id,
            "version": document.version,
            "state": "indexing",
            "content_hash": item.content_hash,
            "title": document.title,
            "text": item.text,
            "metadata": dict(document.metadata),
            "domain": document.domain,
            "chunk_count": len(item.chunks),
            "bytes": len(item.text.encode()),
            "source": dict(item.source) if item.source else None,
            "created_at": moment,
        }

    def _chunk_row(self, chunk: Chunk) -> dict[str, Any]:
        return {
            "chunk_id": chunk.chunk_id,
            "tenant_id": self._tenant,
            "document_id": chunk.document_id,
            "version": chunk.version,
            "ordinal": chunk.ordinal,
            "text": chunk.text,
            "headings": list(chunk.headings),
            "page": chunk.page,
            "start": chunk.start,
            "end": chunk.end,
            "tokens": chunk.tokens,
        }


def _for(reader: Reader, statement: Any) -> Any:
    return statement if reader.subjects is None else statement.where(open_to(sorted(reader.subjects)))


def _version(row: Row[Any]) -> DocumentVersion:
    return DocumentVersion(row.document_id, row.version, row.title, row.document_metadata, row.domain)


def _chunk(row: Row[Any]) -> Chunk:
    return Chunk(
        chunk_id=row.chunk_id,
        document_id=row.document_id,
        version=row.version,
        ordinal=row.ordinal,
        text=row.text,
        headings=tuple(row.headings),
        start=row.start,
        end=row.end,
        tokens=row.tokens,
        page=row.page,
    )


def _info(row: Row[Any], text: str | None = None) -> DocumentInfo:
    return DocumentInfo(_version(row), row.chunk_count, row.created_at, row.updated_at, text)
