"""Restoring a backup into an empty installation: all of it, or nothing."""

import base64
import io
import itertools
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from operator import itemgetter
from pathlib import Path, PurePosixPath
from typing import IO

import numpy as np
import orjson
from pydantic import TypeAdapter

from advanced_rag.auth.secret import SECRET_FILE, derive, load_secret
from advanced_rag.config import Settings
from advanced_rag.exceptions import BackupError
from advanced_rag.models.documents import TenantId
from advanced_rag.models.holds import ForgetKind, Receipt
from advanced_rag.models.identity import Reader
from advanced_rag.models.index import SPARSE, Generation
from advanced_rag.services.backup import (
    FILES_FOLDER,
    by_tenant,
    opened_store,
    secret_mark,
    table_member,
    vector_member,
)
from advanced_rag.services.forget import named_in_receipts, remove_traces, signature
from advanced_rag.services.layout import index_row
from advanced_rag.services.rights import label_job
from advanced_rag.storage.archive import Archive, Manifest, reading
from advanced_rag.storage.backup import Restoration, restoring
from advanced_rag.storage.collections import IndexRow, Vectors
from advanced_rag.storage.database import TenantTransaction
from advanced_rag.storage.files import FileStore
from advanced_rag.storage.forgetting import ForgettingRepository
from advanced_rag.storage.holds import ReceiptRepository
from advanced_rag.storage.hydration import hydrate
from advanced_rag.storage.jobs import JobRepository
from advanced_rag.storage.rights import RightsRepository
from advanced_rag.storage.vectors import VectorStore

_PAGE = 200
_RECEIPTS = TypeAdapter(list[Receipt])
Receipts = Mapping[str, Sequence[Receipt]]  # by name or id of their tenant


@dataclass(frozen=True, slots=True)
class Restored:
    """What came back, and what whoever restored it has to know."""

    manifest: Manifest
    generations: list[Generation]
    is_secret_the_same: bool
    forgotten: int


def restore(settings: Settings, path: Path, receipts: Receipts, announce: Callable[[str], None]) -> Restored:
    """Restore a backup, and forget again what the receipts say was forgotten since.

    Raises BackupError when the backup is not whole or there is no room for it, UnavailableError; nothing is restored then.
    """
    with reading(path) as archive, ExitStack() as closing, ExitStack() as undo:
        manifest = archive.manifest
        with restoring(settings.database_url, settings.database) as restoration:
            restoration.prepare(manifest.revision, manifest.tables)
            for shape in manifest.tables:
                announce(f"restoring {shape.name}")
                restoration.load(shape, archive.lines(table_member(shape.name)))
            generations = restoration.finish()
            _restore_files(archive, settings, undo)
            forgotten = _forget_again(restoration, settings, receipts) if receipts else 0
            if manifest.vectors:
                announce("restoring the index")
                store = closing.enter_context(opened_store(settings))
                _fill(store, archive, restoration, undo)
        undo.pop_all()  # from here on it is kept
    is_same = manifest.secret in {None, secret_mark(settings)}
    return Restored(manifest, generations, is_same, forgotten)


def read_receipts(path: Path) -> list[Receipt]:
    """Read an answer of /v1/receipts that was kept; raises BackupError."""
    try:
        return _RECEIPTS.validate_python(orjson.loads(path.read_bytes())["receipts"])
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise BackupError(f"{path}: no answer of /v1/receipts ({type(error).__name__})") from error


def _restore_files(archive: Archive, settings: Settings, undo: ExitStack) -> None:
    for member in archive.manifest.members:
        path = PurePosixPath(member.name)
        if member.name == SECRET_FILE and settings.auth.secret is None:
            _write(archive, member.name, settings.data_dir / SECRET_FILE, undo)
        elif path.parts[0] == FILES_FOLDER and ".." not in path.parts:
            _write(archive, member.name, settings.files_folder.joinpath(*path.parts[1:]), undo)


def _write(archive: Archive, name: str, target: Path, undo: ExitStack) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        before = target.read_bytes() if name == SECRET_FILE and target.is_file() else None
        undo.callback(_take_back, target, before)
        _put(target, archive.file(name))
    except OSError as error:
        raise BackupError(f"{target}: cannot be written ({error.strerror})") from error


def _put(target: Path, content: IO[bytes]) -> None:
    target.unlink(missing_ok=True)
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        shutil.copyfileobj(content, file)
        file.flush()
        os.fsync(file.fileno())


def _take_back(target: Path, before: bytes | None) -> None:
    with suppress(OSError):
        target.unlink(missing_ok=True)
        if before is not None:
            _put(target, io.BytesIO(before))


def _forget_again(restoration: Restoration, settings: Settings, receipts: Receipts) -> int:
    secret = derive(load_secret(settings), "receipts")
    tenants = {name: tenant.id for tenant in restoration.tenants() for name in (tenant.name, tenant.id)}
    unknown = receipts.keys() - tenants.keys()
    if unknown:
        raise BackupError(f"the backup has no tenant {sorted(unknown)[0]}")
    if any(signature(secret, item) != item.digest for items in receipts.values() for item in items):
        raise BackupError("the receipts were not made by this installation, or were changed")
    files = FileStore(settings.files_folder)
    return sum(_forget_in(restoration.of(tenants[name]), files, secret, items) for name, items in receipts.items())


def _forget_in(transaction: TenantTransaction, files: FileStore, secret: bytes, receipts: Sequence[Receipt]) -> int:
    """Forget what receipts name that are not in the backup, and keep them; returns how much was found of it."""
    repository = ReceiptRepository(transaction)
    newer = [receipt for receipt in receipts if not repository.has(receipt.id)]
    wanted = {(receipt.kind, receipt.target) for receipt in newer}
    traces = ForgettingRepository(transaction)
    named: dict[ForgetKind, Iterator[str]] = {"document": traces.document_ids(), "user": traces.user_ids()}
    found = {
        (kind, key) for kind, ids in named.items() for key in ids if (kind, named_in_receipts(secret, kind, key)) in wanted
    }
    for kind, key in sorted(found):
        removed = remove_traces(transaction, kind, key, [key] if kind == "document" else traces.owned(key))
        for job in removed.ended:
            files.remove(transaction.tenant, job.id)
    for receipt in newer:
        repository.add(receipt)
    return len(found)


def _fill(store: VectorStore, archive: Archive, restoration: Restoration, undo: ExitStack) -> None:
    """Write the vectors of the backup into new collections; jobs do the documents some of whose vectors it lacks."""
    incomplete: set[tuple[TenantId, str]] = set()
    for generation in restoration.generations():
        undo.callback(store.drop, generation)
        store.ensure(generation)
        for tenant, vectors in _pages(archive, restoration, generation):
            missing = _write_page(store, generation, restoration.of(tenant), vectors)
            incomplete |= {(tenant, document_id) for document_id in missing}
    for tenant, document_id in sorted(incomplete):
        JobRepository(restoration.of(tenant), "restore").add([label_job(tenant, document_id, 0)])


def _write_page(
    store: VectorStore, generation: Generation, transaction: TenantTransaction, vectors: Mapping[str, Vectors | None]
) -> set[str]:
    """Write some chunks; returns the documents that have to be done again."""
    rows = _rows(transaction, vectors)
    needs_vectors = generation.kind != SPARSE
    missing = {document_id for document_id, row in rows if needs_vectors and row.vector is None}
    store.upsert(generation, [row for document_id, row in rows if document_id not in missing])
    return missing


def _pages(
    archive: Archive, restoration: Restoration, generation: Generation
) -> Iterator[tuple[TenantId, dict[str, Vectors | None]]]:
    """Yield the chunks of a collection with their vectors, some of one tenant at a time."""
    if generation.kind not in archive.manifest.vectors:
        for tenant, page in by_tenant(restoration.visible_chunks(generation)):
            yield tenant, dict.fromkeys(page)
        return
    items = map(orjson.loads, archive.lines(vector_member(generation.kind)))
    for tenant, group in itertools.groupby(items, key=itemgetter(0)):
        while some := list(itertools.islice(group, _PAGE)):
            yield TenantId(tenant), {chunk_id: _vector(packed) for _, chunk_id, packed in some}


def _vector(packed: str | None) -> Vectors | None:
    return None if packed is None else np.frombuffer(base64.b64decode(packed), dtype=np.float32)


def _rows(transaction: TenantTransaction, vectors: Mapping[str, Vectors | None]) -> list[tuple[str, IndexRow]]:
    """Return chunks that may be found as the index holds them, each with the id of its document."""
    found = hydrate(transaction, list(vectors), Reader(transaction.tenant, None)).values()
    rights = RightsRepository(transaction).of(sorted({item.document.document_id for item in found}))
    return [
        (
            item.document.document_id,
            replace(
                index_row(transaction.tenant, item.document, item.chunk, rights[item.document.document_id].rights),
                vector=vectors[item.chunk.chunk_id],
            ),
        )
        for item in found
    ]
