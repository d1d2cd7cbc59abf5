"""A restore takes a whole backup into an empty installation, or leaves everything as it is."""

import gzip
import tarfile
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from sqlalchemy import text

from advanced_rag.config import AuthSettings, MilvusSettings
from advanced_rag.exceptions import BackupError, VectorStoreRefusedError
from advanced_rag.models.holds import Receipt
from advanced_rag.models.index import Generation
from advanced_rag.services.restore import read_receipts
from advanced_rag.storage.database import Transaction, open_engine, transaction
from advanced_rag.storage.generations import GenerationRepository
from advanced_rag.storage.migrations import upgrade
from advanced_rag.storage.tables import now
from tests.conftest import make_data_dir
from tests.support.backups import (
    OTTERS,
    PUMPS,
    forget,
    found,
    ingest,
    live,
    open_database,
    restored,
    rewritten,
    rows_of,
    saved,
    settings_for,
    tables_of,
    told,
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, prepared_encoders) -> Path:
    """A small backup."""
    folder = tmp_path_factory.mktemp("whole")
    own = settings_for(make_data_dir(folder / "data", prepared_encoders))
    with live(own) as service:
        ingest(service, service.key(), "otters", OTTERS)
    return saved(own, folder / "backup.tar")


def refused(tmp_path: Path, content: bytes) -> str:
    """Expect that content is not restored and nothing is written; returns the reason."""
    target, file = settings_for(tmp_path / "target"), tmp_path / "broken.tar"
    file.write_bytes(content)
    with pytest.raises(BackupError) as raised:
        restored(target, file)
    assert not target.data_dir.exists()
    return raised.value.message


@settings(max_examples=60)
@given(share=st.floats(0, 1))
def test_what_is_cut_short_is_no_backup(whole, tmp_path, share):
    content = whole.read_bytes()
    with tarfile.open(whole) as tar:
        last = tar.getmember("manifest.sha256")
    needed = last.offset_data + last.size
    assert "backup" in refused(tmp_path, content[: int(share * (needed - 1))])


def test_a_changed_byte_in_any_member_is_noticed(whole, tmp_path):
    content = whole.read_bytes()
    with tarfile.open(whole) as tar:
        members = tar.getmembers()
    for member in members:
        place = member.offset_data + member.size // 2
        changed = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
        assert refused(tmp_path, changed)


def test_a_member_too_few_or_too_many_is_noticed(whole, tmp_path):
    assert refused(tmp_path, rewritten(whole, members={"tables/chunks.jsonl.gz": None}))
    assert refused(tmp_path, rewritten(whole, members={"../../evil": b"evil"}))


def test_a_newer_format_or_schema_says_so(whole, tmp_path):
    assert "format" in refused(tmp_path, rewritten(whole, lambda item: item.update(format=2)))
    (tmp_path / "newer.tar").write_bytes(rewritten(whole, lambda item: item.update(revision="9999")))
    target = settings_for(tmp_path / "newer")
    target.data_dir.mkdir()
    with pytest.raises(BackupError, match=r"9999.* newer than this version"):
        restored(target, tmp_path / "newer.tar")
    assert tables_of(target) == set()


def test_a_database_that_is_not_empty_stays_as_it_is(whole, new_data_dir):
    target = settings_for(new_data_dir("used"))
    with live(target) as service:
        ingest(service, service.key(), "mine", PUMPS)
    before = rows_of(target)
    with pytest.raises(BackupError, match="not empty"):
        restored(target, whole)
    assert rows_of(target) == before


def test_a_service_that_was_started_and_never_used_can_be_restored_into(whole, new_data_dir):
    target = settings_for(new_data_dir("fresh"))
    with live(target):
        pass
    restored(target, whole)
    with live(target) as service:
        assert found(service, service.key(), "sleeping animals") == [("otters", OTTERS)]


def test_rows_that_do_not_fit_leave_nothing_behind(whole, tmp_path):
    (tmp_path / "odd.tar").write_bytes(rewritten(whole, members={"tables/tenants.jsonl.gz": gzip.compress(b"")}))
    target = settings_for(tmp_path / "target")
    target.data_dir.mkdir()
    with pytest.raises(BackupError, match="do not fit"):
        restored(target, tmp_path / "odd.tar")
    assert tables_of(target) == set()


def test_vectors_that_do_not_fit_leave_nothing_behind_either(tmp_path, new_data_dir):
    first, second = settings_for(new_data_dir("first")), settings_for(new_data_dir("second"))
    with live(first) as service:
        ingest(service, service.key(), "otters", OTTERS)
    path = saved(first, tmp_path / "backup.tar", with_vectors=True)
    with tarfile.open(path) as tar:
        lines = gzip.decompress(tar.extractfile("vectors/semantic.jsonl.gz").read())
    tenant, chunk_id, _ = orjson.loads(lines)
    short = gzip.compress(orjson.dumps([tenant, chunk_id, "AAAAAA=="]) + b"\n")
    (tmp_path / "odd.tar").write_bytes(rewritten(path, members={"vectors/semantic.jsonl.gz": short}))
    (second.data_dir / "auth.secret").write_text("00")
    with pytest.raises(VectorStoreRefusedError):
        restored(second, tmp_path / "odd.tar")
    assert tables_of(second) == set()
    assert (second.data_dir / "auth.secret").read_text() == "00"
    restored(second, path)
    with live(second) as service:
        assert found(service, service.key(), "sleeping animals") == [("otters", OTTERS)]


def test_a_sparse_index_keeps_the_analyzer_it_was_made_with(tmp_path, new_data_dir):
    first = settings_for(new_data_dir("first"))
    with live(first) as service:
        ingest(service, service.key(), "run", "Otters were running.")
    path = saved(first, tmp_path / "backup.tar", with_vectors=True)
    second = settings_for(new_data_dir("second"), milvus=MilvusSettings(analyzer="standard"))
    restored(second, path)
    with live(second) as service:
        body = {"query": "run", "search_mode": "sparse"}
        assert service.request("POST", "/v1/retrieve", headers=service.key(), json=body).json()["hits"]
        assert service.container.index.generations["sparse"].encoder == "english"


def test_an_older_schema_is_backed_up_and_comes_back_as_the_new_one(tmp_path):
    old, new = settings_for(tmp_path / "old"), settings_for(tmp_path / "new")
    for own in (old, new):
        own.data_dir.mkdir()
    engine = open_engine(old.database_url, old.database)
    with transaction(engine) as connection:
        upgrade(connection, "0001")
        connection.execute(
            text(
                "INSERT INTO documents (tenant_id, id, last_version, version_floor, created_at, updated_at) "
                "VALUES ('default', 'handbook', 0, 0, CURRENT_TIMESTAMP, CURRENT_TIMESTAMP)"
            )
        )
    engine.dispose()
    restored(new, saved(old, tmp_path / "backup.tar"))
    (row,) = (orjson.loads(line) for line in rows_of(new)["documents"])
    assert row[:2] == ["default", "handbook"]


def test_what_was_forgotten_since_is_forgotten_again(tmp_path, new_data_dir):
    first, second = settings_for(new_data_dir("first")), settings_for(new_data_dir("second"))
    with live(first) as service:
        admin, ann = service.key(user_id="admin"), service.key(role="writer", user_id="ann")
        for key in ("before", "since", "stays"):
            ingest(service, admin, key, f"Zeppelins of {key} fly on Monday.")
        ingest(service, ann, "diary", "A diary of zeppelins.", access={"visibility": "private"})
        forget(service, admin, "document", "before")
        ingest(service, admin, "before", "Zeppelins of before came back.")
        path = saved(first, tmp_path / "backup.tar")
        forget(service, admin, "document", "since")
        forget(service, admin, "user", "ann")
        (tmp_path / "receipts.json").write_bytes(service.request("GET", "/v1/receipts", headers=admin).content)
    assert restored(second, path, default=read_receipts(tmp_path / "receipts.json")).forgotten == 2
    with live(second) as service:
        assert {key for key, _ in found(service, admin, "zeppelins")} == {"before", "stays"}
        assert service.request("GET", "/v1/auth/me", headers=ann).status_code == 401
        assert len(told(service, admin, "/v1/receipts")["receipts"]) == 3


def test_receipts_of_others_are_refused_and_nothing_is_restored(whole, tmp_path):
    target = settings_for(tmp_path / "target")
    target.data_dir.mkdir()
    forged = Receipt("r", "document", "0" * 64, "me", now(), {}, {}, "0" * 64)
    with pytest.raises(BackupError, match="not made by this installation"):
        restored(target, whole, default=[forged])
    with pytest.raises(BackupError, match="no tenant nobody"):
        restored(target, whole, nobody=[forged])
    assert tables_of(target) == set()


def test_another_secret_is_told_of(whole, tmp_path):
    target = settings_for(tmp_path / "target", auth=AuthSettings(secret=SecretStr("s" * 32)))
    target.data_dir.mkdir()
    assert not restored(target, whole).is_secret_the_same


def test_a_collection_that_is_first_needed_after_a_restore_is_a_new_one_too(whole, tmp_path):
    target = settings_for(tmp_path / "target")
    target.data_dir.mkdir()
    restored(target, whole)
    with open_database(target) as connection:
        repository = GenerationRepository(Transaction(connection))
        repository.add_live(Generation("domain_law", 1, "e", 8))
        live_now = repository.live()
    assert live_now["domain_law"].number == live_now["semantic"].number > 1
