"""Uploaded files wait on disk until their job has ended; what a crash left is found and removed, and nothing else is."""

import os
import uuid
from pathlib import Path

import pytest

from advanced_rag.exceptions import FileMissingError
from advanced_rag.models.documents import DEFAULT_TENANT
from advanced_rag.storage.files import FileStore

AN_HOUR_S = 3600


@pytest.fixture
def files(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path)


def put(path: Path, *, age_s: int = 2 * AN_HOUR_S) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"x")
    os.utime(path, (path.stat().st_mtime - age_s,) * 2)
    return path


def test_what_a_crash_cut_off_is_swept_like_what_had_come_whole(files):
    whole, part = (files.path(DEFAULT_TENANT, str(uuid.uuid4())) for _ in range(2))
    put(whole)
    cut_off = put(part.with_name(f"{part.name}.part"))
    put(files.path(DEFAULT_TENANT, str(uuid.uuid4())), age_s=60)
    left = list(files.left(AN_HOUR_S))
    assert {job_id for _, job_id in left} == {whole.name, part.name}
    for tenant, job_id in left:
        files.remove(tenant, job_id)
    assert not whole.exists()
    assert not cut_off.exists()
    assert list(files.left(AN_HOUR_S)) == []


def test_what_is_not_ours_is_left_alone(files, tmp_path):
    put(tmp_path / "default" / ".nfs00000000012a")
    put(tmp_path / "lost found" / str(uuid.uuid4()))
    assert list(files.left(AN_HOUR_S)) == []


def test_a_file_that_is_not_there_is_said_to_be_missing(files):
    with pytest.raises(FileMissingError):
        files.find(DEFAULT_TENANT, str(uuid.uuid4()))
