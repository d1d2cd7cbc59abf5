"""A collection is brought to hold exactly what SQL says, whatever it holds: as a plain model of sets says it."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import count, pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advanced_rag.models.documents import Chunk, DocumentVersion, TenantId
from advanced_rag.models.index import SEMANTIC, CollectionReport
from advanced_rag.models.jobs import new_job
from advanced_rag.models.rights import Rights
from advanced_rag.services import reconcile
from advanced_rag.services.layout import Collection, index_row
from advanced_rag.storage.collections import IndexRow
from advanced_rag.storage.document_rows import NewVersion
from advanced_rag.storage.documents import DocumentRepository
from advanced_rag.storage.ids import chunk_id
from advanced_rag.storage.jobs import JobRepository
from tests.conftest import make_data_dir
from tests.support.live import LiveService

TEXT = "Voles."
NUMBERS = st.sets(st.integers(0, 30))


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, prepared_encoders: Path) -> Iterator[LiveService]:
    with LiveService(make_data_dir(tmp_path_factory.mktemp("reconcile") / "data", prepared_encoders)) as live:
        yield live


class Installation:
    """A tenant of its own, with chunks in SQL and rows in a collection, put there one by one."""

    numbers = count()

    def __init__(self, service: LiveService) -> None:
        self.tenant = service.run(service.container.identities.tenants.create(f"t{next(self.numbers)}")).id
        self._service = service
        self._collection: Collection = service.container.index.layout.live[SEMANTIC]

    def chunk(self, number: int) -> tuple[DocumentVersion, Chunk]:
        key = f"d{number}"
        own = chunk_id(self.tenant, key, 1, 0)
        return DocumentVersion(key, 1, "", {}, None), Chunk(own, key, 1, 0, TEXT, (), 0, len(TEXT), 2)

    def begin(self, numbers: set[int], *, in_work: bool) -> None:
        """Store versions that nobody sees yet; ``in_work`` says that a job is at them."""

        def store(transaction) -> None:
            keys = [f"d{number}" for number in sorted(numbers)]
            DocumentRepository(transaction).lock(keys)
            made = [self.chunk(number) for number in sorted(numbers)]
            DocumentRepository(transaction).add_versions([NewVersion(item, TEXT, "hash", (chunk,)) for item, chunk in made])
            if in_work:
                jobs = [new_job(self.tenant, "purge", key, 1, 2) for key in keys]
                JobRepository(transaction, "me").add(jobs, lease_s=60)
            else:
                DocumentRepository(transaction).activate(dict.fromkeys(keys, 1))

        if numbers:
            self._service.run(self._service.container.database.write(self.tenant, store))

    def write(self, numbers: set[int], *, version: int = 1) -> None:
        """Write rows into the collection, without SQL."""
        rows = [replace(self._row(number), version=version) for number in sorted(numbers)]
        if rows:
            self._service.container.index.store.upsert(self._collection.generation, rows)

    def _row(self, number: int) -> IndexRow:
        row = index_row(self.tenant, *self.chunk(number), Rights())
        return replace(row, vector=np.ones(384, dtype=np.float32) / 384**0.5)

    def held(self) -> set[int]:
        """Return which chunks the collection holds, as rows of the right version."""
        found = self._service.container.index.store.between(self._collection.generation, self.tenant, "0", "f" * 64)
        return {n for n in range(31) if found.get(self.chunk(n)[1].chunk_id, ("", 0))[1] == 1}

    def check(self, *, repair: bool) -> CollectionReport:
        reconciler = reconcile.Reconciler(self._service.container.database, self._service.container.index)
        return self._service.run(reconciler.check(TenantId(self.tenant), self._collection, repair=repair))


@settings(max_examples=30)
@given(visible=NUMBERS, in_work=NUMBERS, there=NUMBERS, misfiled=NUMBERS, span=st.sampled_from([1, 3, 1000]))
def test_what_is_found_and_mended_is_what_sets_say(service, visible, in_work, there, misfiled, span):
    before = reconcile._SPAN
    reconcile._SPAN = span
    try:
        home = Installation(service)
        in_work, misfiled = in_work - visible, (misfiled & visible) - there
        home.begin(visible, in_work=False)
        home.begin(in_work, in_work=True)
        home.write(there)
        home.write(misfiled, version=7)
        missing, orphaned = visible - there, there - visible - in_work
        for repair in (False, True):
            found = home.check(repair=repair)
            assert (found.expected, found.found) == (len(visible), len(there | misfiled))
            assert (found.missing, found.orphaned) == (len(missing), len(orphaned))
            assert found.repaired == (len(missing) + len(orphaned) if repair else 0)
        assert home.held() == visible | (there & in_work)
        assert home.check(repair=False).missing == home.check(repair=False).orphaned == 0
    finally:
        reconcile._SPAN = before


def test_spans_cover_every_id_once():
    for number in (0, 1, 1999, 2000, 2001, 1_000_000):
        spans = list(reconcile._spans(number))
        assert spans[0][0] == 0
        assert spans[-1][1] == reconcile._EVERY_ID
        assert all(left[1] == right[0] for left, right in pairwise(spans))
    left, right = reconcile._halves((10, 21))
    assert (left[0], left[1], right[1]) == (10, right[0], 21)


def test_a_span_with_more_rows_than_one_answer_holds_is_halved(service, monkeypatch):
    monkeypatch.setattr(reconcile, "MOST_AT_ONCE", 4)
    home = Installation(service)
    home.begin(set(range(20)), in_work=False)
    home.write(set(range(10, 31)))
    found = home.check(repair=True)
    assert (found.expected, found.found, found.missing, found.orphaned) == (20, 21, 10, 11)
    assert home.held() == set(range(20))
