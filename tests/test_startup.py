"""What keeps the service from starting is one clear line and a non-zero exit, never a stack trace."""

import os
import re
import socket
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.service import COMMAND, free_port, running


def refused(data_dir: Path, command: str = "serve", **environment: str) -> str:
    """Run a command, the service itself by default, expect it to end, and return what it said."""
    own = {"RAG_DATA_DIR": str(data_dir), "RAG_SERVER__PORT": str(free_port()), "RAG_EXAMPLES__INGEST": "false"}
    ended = subprocess.run(
        [COMMAND, command],
        env={**os.environ, **own, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    said = [
        line for line in ended.stderr.splitlines() if line.startswith("advanced-rag:") and not re.search("preparing", line)
    ]
    assert len(said) == 1, said
    return said[0]


def test_a_second_process_on_the_data_directory(data_dir):
    with running(data_dir):
        assert f"{data_dir} is used by another process" in refused(data_dir)


def test_a_data_directory_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert "data_dir" in refused(tmp_path / "file" / "data")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_data_directory_that_cannot_be_written(tmp_path):
    tmp_path.chmod(0o500)
    assert "data_dir" in refused(tmp_path)


def test_a_port_in_use(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert f"server.port: 127.0.0.1:{port}" in refused(tmp_path, RAG_SERVER__PORT=port)


def test_a_missing_model_folder(tmp_path):
    assert "encoder.model" in refused(tmp_path, RAG_ENCODER__MODEL=str(tmp_path / "no-model"))


def test_a_folder_that_is_no_model(tmp_path):
    (tmp_path / "model").mkdir()
    assert "encoder.model" in refused(tmp_path / "data", RAG_ENCODER__MODEL=str(tmp_path / "model"))


def test_a_database_that_cannot_be_reached(tmp_path):
    url = "postgresql+psycopg2://me:hidden@127.0.0.1:1/rag"
    said = refused(tmp_path, "verify", RAG_DATABASE__URL=url)
    assert "database" in said
    assert "hidden" not in said


def test_a_vector_store_that_cannot_be_reached(tmp_path):
    environment = {"RAG_MILVUS__URI": "http://127.0.0.1:1", "RAG_MILVUS__WRITE_TIMEOUT_S": "1"}
    assert "milvus.uri" in refused(tmp_path, "verify", **environment)


def test_a_file_that_is_no_vector_store(tmp_path):
    (tmp_path / "milvus.db").write_text("something else", encoding="utf-8")
    assert "milvus.uri" in refused(tmp_path)


@pytest.mark.parametrize("model", ["/nowhere/model", None])
def test_an_index_whose_encoder_is_gone(data_dir, model):
    with running(data_dir):
        pass
    with closing(sqlite3.connect(data_dir / "rag.db")) as database, database:
        statement = "UPDATE index_generations SET encoder = 'another', model = ? WHERE kind = 'semantic'"
        database.execute(statement, [model])
    said = refused(data_dir)
    assert "advanced-rag reindex" in said
    assert (model or "another encoder") in said


def test_keys_in_postgresql_need_a_secret_that_replicas_share(data_dir):
    own = {"RAG_DATA_DIR": str(data_dir), "RAG_DATABASE__URL": "postgresql://nobody@127.0.0.1:1/rag"}
    command = [COMMAND, "keys", "create", "--tenant", "default", "--role", "reader"]
    ended = subprocess.run(command, env={**os.environ, **own}, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert "RAG_AUTH__SECRET" in ended.stderr
