"""Backup and restore as operators run them: beside a service, and before one."""

import os
import subprocess
from pathlib import Path

from advanced_rag.client import Client
from tests.conftest import make_data_dir
from tests.support.service import COMMAND, running

TEXT = "Otters hold hands while they sleep."


def command(data_dir: Path, *arguments: object, status: int = 0) -> str:
    """Run a command and return what it said."""
    ended = subprocess.run(
        [COMMAND, *map(str, arguments)],
        env={**os.environ, "RAG_DATA_DIR": str(data_dir), "RAG_EXAMPLES__INGEST": "false"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == status, ended.stderr
    assert "Traceback" not in ended.stderr
    return ended.stdout + ended.stderr


def test_a_service_is_backed_up_while_it_runs_and_restored_elsewhere(tmp_path, data_dir, prepared_encoders):
    other = make_data_dir(tmp_path / "other", prepared_encoders)
    plain, with_vectors = tmp_path / "plain.tar", tmp_path / "vectors.tar"
    with running(data_dir) as service, Client(service.url) as client:
        client.ingest([{"id": "otters", "text": TEXT}])
        assert "secret of this installation" in command(data_dir, "backup", plain)
        assert "stop the service" in command(data_dir, "backup", with_vectors, "--vectors", status=1)
        assert "used by another process" in command(data_dir, "restore", plain, status=1)
    assert "already" in command(data_dir, "backup", plain, status=1)
    command(data_dir, "backup", with_vectors, "--vectors")
    for path in (plain, with_vectors):
        target = make_data_dir(tmp_path / path.stem, prepared_encoders)
        assert ("computes the vectors" in command(target, "restore", path)) == (path == plain)
        assert TEXT in command(target, "search", "sleeping animals")
        assert "agree" in command(target, "verify")
    assert "not empty" in command(target, "restore", plain, status=1)
    assert "TENANT=FILE" in command(other, "restore", plain, "--receipts", "default", status=1)
    assert not (other / "rag.db").exists()
