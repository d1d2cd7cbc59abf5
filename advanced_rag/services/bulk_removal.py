"""Deleting many documents at once: those a filter matches, as SQL and the definition of filters say, never the index."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from advanced_rag.models.deletion import BulkDeletion
from advanced_rag.models.documents import DocumentInfo
from advanced_rag.models.filters import Filter, matches
from advanced_rag.models.identity import Principal
from advanced_rag.resilience.deadline import Deadline
from advanced_rag.services.removal import Buried, Removal, held_of
from advanced_rag.services.sql import Sql
from advanced_rag.storage.database import TenantTransaction
from advanced_rag.storage.documents import DocumentRepository

_PAGE = 200
_FIRST_IDS = 100


@dataclass(slots=True)
class _Tally:
    """What was counted so far."""

    matched: int = 0
    deleted: int = 0
    held: int = 0
    pending: int = 0
    ids: list[str] = field(default_factory=list)

    def told(self, *, is_complete: bool) -> BulkDeletion:
        return BulkDeletion(self.matched, self.deleted, self.held, self.pending, self.ids[:_FIRST_IDS], is_complete)


class BulkRemoval:
    """Counts and deletes what a filter matches of the documents the caller may see; no filter matches every one."""

    def __init__(self, database: Sql, removal: Removal) -> None:
        self._database = database
        self._removal = removal

    async def preview(self, principal: Principal, condition: Filter | None, deadline: Deadline) -> BulkDeletion:
        """Tell what would be deleted, as far as there is time to look."""
        tally = _Tally()
        async for ids in self._pages(principal, condition):
            held = await self._database.read(principal.tenant, lambda t, ids=ids: held_of(t, ids))  # type: ignore[misc]
            tally.matched += len(ids)
            tally.held += len(held)
            tally.ids += [key for key in ids if key not in held][: _FIRST_IDS - len(tally.ids)]
            if deadline.has_passed:
                return tally.told(is_complete=False)
        return tally.told(is_complete=True)

    async def delete(
        self, principal: Principal, condition: Filter | None, *, limit: int, deadline: Deadline
    ) -> BulkDeletion:
        """Delete so many documents at most, page by page, while there is time; those on hold stay.

        Doing it again goes on with what is left.
        """
        tally = _Tally()
        async for ids in self._pages(principal, condition):
            if tally.deleted >= limit or deadline.has_passed:
                return tally.told(is_complete=False)
            await self._delete_page(principal, condition, ids, limit - tally.deleted, tally)
        return tally.told(is_complete=tally.deleted + tally.held == tally.matched)

    async def _pages(self, principal: Principal, condition: Filter | None) -> AsyncIterator[list[str]]:
        """Yield the ids that match, a page at a time; pages without any are left out."""
        cursor: str | None = None
        while True:
            page = await self._database.read(
                principal.tenant,
                lambda t, after=cursor: DocumentRepository(t).page(_PAGE, after, principal.reader),  # type: ignore[misc]
            )
            if ids := _matching(page.items, condition):
                yield ids
            cursor = page.next_cursor
            if cursor is None:
                return

    async def _delete_page(
        self, principal: Principal, condition: Filter | None, ids: list[str], limit: int, tally: _Tally
    ) -> None:
        def delete(transaction: TenantTransaction) -> tuple[int, int, list[Buried]]:
            documents = DocumentRepository(transaction)
            documents.hold(ids)
            now = _matching(documents.find(ids, principal.reader), condition)  # they may have changed since
            held = held_of(transaction, now)
            free = [key for key in now if key not in held][:limit]
            return len(now), len(held), self._removal.bury(transaction, free, principal.reader, principal.user_id)

        matched, held, buried = await self._database.write(principal.tenant, delete)
        is_purged = await self._removal.clear(principal.tenant, buried)
        tally.matched += matched
        tally.held += held
        tally.deleted += len(buried)
        tally.pending += 0 if is_purged else len(buried)
        tally.ids += [item.purge.document_id for item in buried][: _FIRST_IDS - len(tally.ids)]


def _matching(documents: list[DocumentInfo], condition: Filter | None) -> list[str]:
    found = [item.document for item in documents]
    return [item.document_id for item in found if condition is None or matches(condition, item.declared, item.metadata)]
