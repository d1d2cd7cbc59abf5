"""Folders as users ingest them: what cannot be taken is told of at the end, and holds nothing else up."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from advanced_rag.client import Client
from tests.support.service import COMMAND, running


def ingest(data_dir: Path, source: Path, *, status: int) -> str:
    """Run the command and return what it said."""
    ended = subprocess.run(
        [COMMAND, "ingest", str(source)],
        env={**os.environ, "RAG_DATA_DIR": str(data_dir), "RAG_EXAMPLES__INGEST": "false", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == status, ended.stderr
    assert "Traceback" not in ended.stderr
    return ended.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "documents"
    (made / "birds" / ".git").mkdir(parents=True)
    (made / "birds" / "heron.txt").write_text("Herons stand still.", encoding="utf-8")
    (made / "birds" / ".git" / "config").write_text("hidden", encoding="utf-8")
    (made / "birds" / "round").symlink_to(made, target_is_directory=True)
    (made / "broken.txt").symlink_to(made / "nowhere.txt")
    (made / os.fsdecode(b"caf\xe9.txt")).write_text("Menus are in French.", encoding="utf-8")
    return made


def test_what_cannot_be_taken_is_told_of_and_the_rest_is_ingested_once(data_dir, folder):
    (folder / "empty.txt").touch()
    (folder / "huge.txt").write_text("x" * 2000, encoding="utf-8")
    (folder / ("long " * 60)[:250]).mkdir()
    (folder / ("long " * 60)[:250] / "name.txt").write_text("Names may be too long.", encoding="utf-8")
    (folder / "unreadable.txt").symlink_to("/proc/self/mem")  # read as whoever, it answers with an error
    with running(data_dir, RAG_UPLOADS__MAX_FILE_BYTES="1000") as service, Client(service.url) as client:
        told = ingest(data_dir, folder, status=1)
        for code in ("empty_file", "body_too_large", "invalid_request", "unreadable"):
            assert code in told
        ids = sorted(item["id"] for item in client.documents()["documents"])
        assert ids == ["birds:heron.txt", "caf\ufffd.txt"]
        assert re.search(r"unchanged\W+2\b", ingest(data_dir, folder, status=1))


def test_a_service_that_asks_for_patience_gets_it(data_dir, folder):
    limits = {"ENABLED": "true", "INGEST": "1/second", "OVERALL": "4/second"}
    with running(data_dir, **{f"RAG_RATE_LIMIT__{name}": value for name, value in limits.items()}):
        assert "created" in ingest(data_dir, folder, status=0)


def test_a_folder_without_files_is_one_clear_line(data_dir, tmp_path):
    (tmp_path / "nothing").mkdir()
    ingest(data_dir, tmp_path / "nothing", status=1)
