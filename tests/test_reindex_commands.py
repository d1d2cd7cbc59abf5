"""Reindexing as operators run it: at a running service, and without one."""

import os
import subprocess
from pathlib import Path

import orjson

from advanced_rag.client import Client
from advanced_rag.config import Settings
from advanced_rag.models.reindex import ReindexOptions
from advanced_rag.storage.database import Database
from advanced_rag.storage.reindexes import ReindexRepository
from tests.support.service import COMMAND, running


def command(data_dir: Path, *arguments: object, status: int = 0) -> str:
    """Run a command and return what it said."""
    ended = subprocess.run(
        [COMMAND, *map(str, arguments)],
        env={**os.environ, "RAG_DATA_DIR": str(data_dir), "RAG_EXAMPLES__INGEST": "false", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == status, ended.stderr
    assert "Traceback" not in ended.stderr
    return ended.stdout + ended.stderr


def evaluation(folder: Path) -> Path:
    folder.mkdir()
    (folder / "queries.jsonl").write_bytes(orjson.dumps({"_id": "q", "text": "What do otters hold?"}))
    (folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq\totters\t1\n", encoding="utf-8")
    return folder


def test_an_index_is_built_anew_looked_at_and_gone_back_on(tmp_path, data_dir):
    with running(data_dir) as service, Client(service.url) as client:
        client.ingest([{"id": "otters", "text": "Otters hold hands while they sleep."}])
        assert "nothing" in command(data_dir, "reindex", "--dry-run")
        told = command(data_dir, "reindex", "--kind", "semantic", "--evaluate", evaluation(tmp_path / "set"), "--verify")
        assert '"semantic":"semantic_g2"' in told
        assert '"ndcg":1.0' in told
        assert client.status()["collections"]["semantic"] == "semantic_g2"
        listed = command(data_dir, "reindex", "status")
        assert "retired" in listed
        assert "done" in listed
        assert "semantic_g1" in command(data_dir, "reindex", "rollback")
        assert "agree" in command(data_dir, "verify", "--all-tenants")
        assert "conflict" in command(data_dir, "reindex", "cancel", status=1)
        assert "no kind of the index" in command(data_dir, "reindex", "--kind", "semantics", status=1)
        assert "BEIR" in command(data_dir, "reindex", "--evaluate", tmp_path / "nowhere", status=1)


def test_without_a_service_the_command_does_it_itself_and_again_where_it_was_cut_off(data_dir):
    assert '"sparse":"sparse_g2"' in command(data_dir, "reindex", "--kind", "sparse")
    assert "sparse_g2" in command(data_dir, "status")
    settings = Settings(data_dir=data_dir)
    database = Database(settings.database_url, settings.database)
    database.write_across(lambda t: ReindexRepository(t).add("cut off", ReindexOptions(kinds=("sparse",))))
    database.write_across(lambda t: ReindexRepository(t, "gone").claim(3600))
    database.close()
    assert '"sparse":"sparse_g3"' in command(data_dir, "reindex", "--kind", "sparse")
