"""What verification costs: ``python -m benchmarks.verify``; 100,000 chunks, put there directly, their vectors made up."""

import asyncio
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from advanced_rag.config import ExamplesSettings, Settings
from advanced_rag.container import Container
from advanced_rag.models.documents import DEFAULT_TENANT, Chunk, DocumentVersion
from advanced_rag.models.index import SEMANTIC, SPARSE
from advanced_rag.models.rights import Rights
from advanced_rag.opening import Opening
from advanced_rag.services.layout import index_row
from advanced_rag.storage.database import TenantTransaction
from advanced_rag.storage.document_rows import NewVersion
from advanced_rag.storage.documents import DocumentRepository
from advanced_rag.storage.ids import chunk_id
from benchmarks.machine import describe
from benchmarks.report import put_section

DOCUMENTS, CHUNKS = 10_000, 10  # of a document
BATCH = 100  # documents
LOST, STRAY = 500, 500
TEXT = "Made-up chunk {} of document {}."


def main() -> None:
    lines = asyncio.run(_measured())
    put_section("Verification", "\n".join([f"Written by `python -m benchmarks.verify` on {describe()}.", "", *lines]))
    print("\n".join(lines))


async def _measured() -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder), examples=ExamplesSettings(ingest=False))
        async with Opening(settings) as opening:
            container = opening.container
            await _fill(container)
            with _watched() as agreeing:
                found = await container.verify.verify_all(repair=False)
            assert found.agrees
            expected = sum(item.expected for item in found.collections)
            _break(container)
            with _watched() as mending:
                found = await container.verify.verify_all(repair=True)
            repaired = sum(item.repaired for item in found.collections)
            assert repaired == LOST + STRAY
    return [
        f"| {DOCUMENTS * CHUNKS:,} chunks, {expected:,} rows of {len(found.collections)} collections | figure |",
        "|---|---|",
        f"| all of them agree | {agreeing['seconds']:.1f} s |",
        f"| {LOST} are lost and {STRAY} strange, and mended | {mending['seconds']:.1f} s |",
        f"| memory of the service, more than before at most | {max(agreeing['grown'], mending['grown']):.0f} MiB |",
    ]


async def _fill(container: Container) -> None:
    dice = np.random.default_rng(0)
    for start in range(0, DOCUMENTS, BATCH):
        versions = [_version(number) for number in range(start, start + BATCH)]

        def store(transaction: TenantTransaction, versions: Sequence[NewVersion] = versions) -> None:
            repository = DocumentRepository(transaction)
            keys = [item.document.document_id for item in versions]
            repository.lock(keys)
            repository.add_versions(versions)
            repository.activate(dict.fromkeys(keys, 1))

        await container.database.write(DEFAULT_TENANT, store)
        rows = [index_row(DEFAULT_TENANT, item.document, chunk, Rights()) for item in versions for chunk in item.chunks]
        vectors = dice.standard_normal((len(rows), 384), dtype=np.float32)
        embedded = [replace(row, vector=vector) for row, vector in zip(rows, vectors, strict=True)]
        generations = container.index.generations
        await asyncio.to_thread(container.index.store.upsert, generations[SEMANTIC], embedded)
        await asyncio.to_thread(container.index.store.upsert, generations[SPARSE], rows)


def _version(number: int) -> NewVersion:
    key = f"d{number}"
    chunks = tuple(
        Chunk(chunk_id(DEFAULT_TENANT, key, 1, n), key, 1, n, TEXT.format(n, number), (), 0, 40, 8) for n in range(CHUNKS)
    )
    return NewVersion(DocumentVersion(key, 1, "", {"number": number}, None), "", "hash", chunks)


def _break(container: Container) -> None:
    store, generation = container.index.store, container.index.generations[SEMANTIC]
    lost = [_version(number).chunks[0].chunk_id for number in range(LOST)]
    store.delete(generation, DEFAULT_TENANT, lost)
    stray = [_version(DOCUMENTS + number) for number in range(STRAY)]
    rows = [index_row(DEFAULT_TENANT, item.document, item.chunks[0], Rights()) for item in stray]
    vector = np.ones(384, dtype=np.float32) / 384**0.5
    store.upsert(generation, [replace(row, vector=vector) for row in rows])


@contextmanager
def _watched() -> Iterator[dict[str, float]]:
    """Note the seconds the block takes, and by how many MiB this process grows meanwhile."""
    seen, stop = {"seconds": 0.0, "grown": 0.0}, threading.Event()
    before = _own_mib()

    def watch() -> None:
        while not stop.wait(0.05):
            seen["grown"] = max(seen["grown"], _own_mib() - before)

    thread = threading.Thread(target=watch)
    thread.start()
    started = time.perf_counter()
    yield seen
    seen["seconds"] = time.perf_counter() - started
    stop.set()
    thread.join()


def _own_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096 / 2**20


if __name__ == "__main__":
    main()
