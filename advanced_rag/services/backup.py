"""Backups: one file with everything that cannot be made again, taken while the service goes on."""

import base64
import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import orjson

from advanced_rag import __version__
from advanced_rag.auth.secret import SECRET_FILE, derive
from advanced_rag.config import Settings
from advanced_rag.models.documents import TenantId
from advanced_rag.models.index import Generation
from advanced_rag.storage.archive import ArchiveWriter, Manifest, writing
from advanced_rag.storage.backup import Snapshot, snapshotting
from advanced_rag.storage.files import FileStore
from advanced_rag.storage.vectors import VectorStore
from advanced_rag.telemetry.logs import get_logger

FILES_FOLDER = "files"
_PAGE = 200
_TRIES = 3
_log = get_logger(__name__)


def back_up(settings: Settings, path: Path, *, with_vectors: bool, announce: Callable[[str], None]) -> Manifest:
    """Write a backup, as of one moment; others may write meanwhile.

    Raises BackupError, DatabaseUnavailableError; with vectors also VectorStoreError, StartupError for a Milvus Lite in use.
    """
    with writing(path) as archive, _kept_files(settings.files_folder) as files, ExitStack() as stack:
        snapshot = _begun(settings, files, stack)
        for shape in snapshot.shapes:
            announce(f"backing up {shape.name}")
            archive.add_lines(table_member(shape.name), snapshot.lines(shape))
        _add_secret(archive, settings)
        files.add_to(archive)
        kinds = _add_vectors(archive, settings, snapshot, announce) if with_vectors else []
        manifest = Manifest(
            version=__version__,
            revision=snapshot.revision,
            made_at=datetime.now(UTC).isoformat(timespec="seconds"),
            secret=secret_mark(settings),
            tables=snapshot.shapes,
            vectors=kinds,
            members=archive.members,
        )
        archive.close(manifest)
    return manifest


def _begun(settings: Settings, files: "_KeptFiles", stack: ExitStack) -> Snapshot:
    """Open a snapshot, with every file that waits in it: one that came and went while it was opened has another opened."""
    for tries_left in reversed(range(_TRIES)):
        files.keep()
        opened = stack.enter_context(ExitStack())
        snapshot = opened.enter_context(snapshotting(settings.database_url, settings.database))
        files.keep()
        missing = files.missing(snapshot.waiting())
        if not missing:
            break
        if tries_left:
            opened.close()
        else:
            _log.error("files_not_backed_up", files=missing, advice="run the backup where uploads.folder is")
    return snapshot


def table_member(name: str) -> str:
    """Return what the member of a table is called."""
    return f"tables/{name}.jsonl.gz"


def vector_member(kind: str) -> str:
    """Return what the member of a collection is called."""
    return f"vectors/{kind}.jsonl.gz"


def by_tenant(items: Iterator[tuple[TenantId, str]]) -> Iterator[tuple[TenantId, list[str]]]:
    """Cut what comes tenant by tenant into pages of one tenant each."""
    for tenant, group in itertools.groupby(items, key=lambda item: item[0]):
        while page := [item for _, item in itertools.islice(group, _PAGE)]:
            yield tenant, page


def secret_mark(settings: Settings) -> str | None:
    """Return what tells the secret of this installation from others, without telling it; None while there is none."""
    secret = _secret(settings)
    return derive(secret, "backup").hex() if secret else None


def _secret(settings: Settings) -> bytes | None:
    if settings.auth.secret is not None:
        return settings.auth.secret.get_secret_value().encode()
    path = settings.data_dir / SECRET_FILE
    return bytes.fromhex(path.read_text(encoding="ascii").strip()) if path.is_file() else None


def _add_secret(archive: ArchiveWriter, settings: Settings) -> None:
    path = settings.data_dir / SECRET_FILE
    if settings.auth.secret is None and path.is_file():
        with path.open("rb") as file:
            archive.add(SECRET_FILE, file)


def _add_vectors(
    archive: ArchiveWriter, settings: Settings, snapshot: Snapshot, announce: Callable[[str], None]
) -> list[str]:
    generations = [generation for generation in snapshot.generations() if generation.dimension is not None]
    with opened_store(settings) as store:
        for generation in generations:
            announce(f"backing up the vectors of {generation.kind}")
            archive.add_lines(vector_member(generation.kind), _vector_lines(store, snapshot, generation))
    return [generation.kind for generation in generations]


def _vector_lines(store: VectorStore, snapshot: Snapshot, generation: Generation) -> Iterator[bytes]:
    """Yield tenant, id and vector of every chunk of the snapshot; no vector where the index has none (any more)."""
    for tenant, page in by_tenant(snapshot.visible_chunks(generation)):
        found = store.vectors(generation, tenant, page)
        for chunk_id in page:
            vector = found.get(chunk_id)
            packed = None if vector is None else base64.b64encode(vector.astype(np.float32).tobytes()).decode("ascii")
            yield orjson.dumps([tenant, chunk_id, packed]) + b"\n"


@contextmanager
def opened_store(settings: Settings) -> Iterator[VectorStore]:
    """Open the vector store; Milvus Lite from the main thread."""
    store = VectorStore.open(settings.milvus_uri, settings.milvus, is_embedded=settings.milvus_is_embedded)
    try:
        yield store
    finally:
        store.close()


class _KeptFiles:
    """Files that stay until they are copied, though the service deletes them meanwhile: they have a second name."""

    def __init__(self, source: Path, kept: Path) -> None:
        self._source = source
        self._kept = kept

    def keep(self) -> None:
        """Give every file there is a second name."""
        for folder, _, names in os.walk(self._source):
            for name in names:
                self._keep(Path(folder, name))

    def _keep(self, file: Path) -> None:
        second = self._kept / file.relative_to(self._source)
        if not file.is_symlink():
            second.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileExistsError, FileNotFoundError):
                _link(file, second)

    def missing(self, jobs: Iterable[tuple[TenantId, str]]) -> int:
        """Return how many jobs have no file here."""
        kept = FileStore(self._kept)
        return sum(not kept.path(tenant, job_id).exists() for tenant, job_id in jobs)

    def add_to(self, archive: ArchiveWriter) -> None:
        """Copy the files into a backup."""
        for second in sorted(path for path in self._kept.rglob("*") if path.is_file()):
            with second.open("rb") as file:
                archive.add(f"{FILES_FOLDER}/{second.relative_to(self._kept).as_posix()}", file)


def _link(file: Path, second: Path) -> None:
    try:
        second.hardlink_to(file)
    except (FileExistsError, FileNotFoundError):
        raise
    except OSError:  # a file system without, or somebody else's file
        shutil.copyfile(file, second)


@contextmanager
def _kept_files(source: Path) -> Iterator[_KeptFiles]:
    with ExitStack() as stack:
        # On the same disk, where a second name needs no copy.
        beside = source.parent if os.access(source.parent, os.W_OK) else None
        kept = stack.enter_context(tempfile.TemporaryDirectory(prefix="backup-", dir=beside))
        files = _KeptFiles(source, Path(kept))
        files.keep()
        yield files
