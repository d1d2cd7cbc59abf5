"""Files that nobody needs any more are found, whatever a crash left of them, and nothing else is."""

import os
import uuid
from pathlib import Path

from advanced_rag.models.documents import DEFAULT_TENANT
from advanced_rag.storage.files import FileStore


def left_behind(folder: Path, name: str, *, age_s: float = 10_000) -> Path:
    path = folder / DEFAULT_TENANT / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"a secret")
    then = path.stat().st_mtime - age_s
    os.utime(path, (then, then))
    return path


def test_what_a_crash_left_of_an_upload_is_found_and_removed(tmp_path):
    store, whole, part = FileStore(tmp_path), str(uuid.uuid4()), str(uuid.uuid4())
    files = [left_behind(tmp_path, whole), left_behind(tmp_path, f"{part}.part")]
    young = left_behind(tmp_path, str(uuid.uuid4()), age_s=0)
    found = list(store.left(older_than_s=3600))
    assert sorted(found) == sorted([(DEFAULT_TENANT, whole), (DEFAULT_TENANT, part)])
    for tenant, job_id in found:
        store.remove(tenant, job_id)
    assert [path.exists() for path in (*files, young)] == [False, False, True]


def test_what_is_not_ours_is_left_alone(tmp_path):
    strange = [left_behind(tmp_path, name) for name in (".DS_Store", "notes.txt", "x.part")]
    assert list(FileStore(tmp_path).left(older_than_s=3600)) == []
    assert all(path.exists() for path in strange)
