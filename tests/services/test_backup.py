"""A backup taken while the service works brings everything back, whole, and nothing that was not there."""

import asyncio
import os
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from advanced_rag.config import MilvusSettings, Settings, UploadSettings
from advanced_rag.exceptions import BackupError, VectorStoreError
from advanced_rag.models.documents import DEFAULT_TENANT
from advanced_rag.opening import Opening
from advanced_rag.services import backup, pipeline
from advanced_rag.services.backup import back_up
from advanced_rag.storage.backup import snapshotting
from tests.conftest import make_database
from tests.support.backups import (
    EVE,
    OTTERS,
    PUMPS,
    SHARED,
    agrees,
    found,
    ingest,
    live,
    lived_in,
    open_database,
    restored,
    rows_of,
    saved,
    seen,
    settings_for,
    told,
)
from tests.support.live import LiveService
from tests.support.milvus import running_milvus


@pytest.mark.parametrize("with_vectors", [False, True])
def test_everything_comes_back_in_another_data_directory(tmp_path, new_data_dir, with_vectors):
    first, second = settings_for(new_data_dir("first")), settings_for(new_data_dir("second"))
    with live(first) as service:
        who = lived_in(service)
        before = seen(service, who)
        kept = None if with_vectors else saved(first, tmp_path / "backup.tar")
    kept = kept or saved(first, tmp_path / "backup.tar", with_vectors=True)
    assert kept.stat().st_mode & 0o777 == 0o600
    assert restored(second, kept).is_secret_the_same
    assert (second.data_dir / "auth.secret").stat().st_mode & 0o777 == 0o600
    with live(second) as service:
        assert seen(service, who) == before
        assert told(service, service.key("Other tenant"), "/v1/documents/otters")["text"].startswith("Sea otters")
        assert service.request("POST", "/v1/auth/login", json=EVE).is_success
        assert agrees(service)


def test_with_vectors_the_next_start_computes_none(tmp_path, new_data_dir):
    first = settings_for(new_data_dir("first"))
    with live(first) as service:
        ingest(service, service.key(), "otters", OTTERS)
    for with_vectors, said in ((True, []), (False, ["writing the documents of the database into a new index"])):
        target = settings_for(new_data_dir(f"restored-{with_vectors}"))
        restored(target, saved(first, tmp_path / f"{with_vectors}.tar", with_vectors=with_vectors))
        assert announced(target) == said


def announced(settings: Settings) -> list[str]:
    said: list[str] = []

    async def start() -> None:
        async with Opening(settings, said.append):
            pass

    asyncio.run(start())
    return said


def test_a_vector_that_was_gone_already_is_computed_by_a_job(tmp_path, new_data_dir):
    first, second = settings_for(new_data_dir("first")), settings_for(new_data_dir("second"))
    with live(first) as service:
        ingest(service, service.key(), "otters", OTTERS)
        ingest(service, service.key(), "pumps", PUMPS)
        index = service.container.index
        lost = next(iter(index.store.between(index.generations["semantic"], "default", "0", "f" * 64)))
        index.store.delete(index.generations["semantic"], "default", [lost])
    restored(second, saved(first, tmp_path / "backup.tar", with_vectors=True))
    with live(second) as service:
        assert agrees(service)  # which runs what is due
        assert {key for key, _ in found(service, service.key(), "pump or otter")} == {"otters", "pumps"}


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_backup_is_of_one_moment_while_others_write(request, tmp_path, new_data_dir, kind):
    url = make_database(request.getfixturevalue("postgres")) if kind == "postgresql" else None
    first = settings_for(new_data_dir("first"), url, auth=SHARED)
    second = settings_for(new_data_dir("second"), auth=SHARED)
    with live(first) as service:
        who = service.key()
        for n in range(20):
            ingest(service, who, f"early-{n}", f"Report {n}. " * 50)
        saving = threading.Thread(target=saved, args=[first, tmp_path / "backup.tar"])
        saving.start()
        late = 0
        while saving.is_alive() or late == 0:
            ingest(service, who, f"late-{late}", f"Report {late}. " * 50)
            ingest(service, who, f"early-{late % 20}", f"Changed {late}. " * 50)
            late += 1
        saving.join()
    restored(second, tmp_path / "backup.tar")
    with live(second) as service:
        documents = told(service, who, "/v1/documents?limit=200")["documents"]
        names = {item["id"] for item in documents}
        assert {f"early-{n}" for n in range(20)} <= names
        came = sorted(int(name.removeprefix("late-")) for name in names if name.startswith("late-"))
        assert came == list(range(len(came)))
        assert agrees(service)
        for item in documents:
            assert told(service, who, f"/v1/documents/{item['id']}")["text"]


def test_rows_go_to_the_other_kind_of_database_and_back(tmp_path, new_data_dir, postgres):
    sqlite = settings_for(new_data_dir("sqlite"), auth=SHARED)
    postgresql = settings_for(new_data_dir("postgresql"), make_database(postgres), auth=SHARED)
    again = settings_for(new_data_dir("again"), auth=SHARED)
    with live(sqlite) as service:
        who = lived_in(service)
        before = seen(service, who)
    restored(postgresql, saved(sqlite, tmp_path / "sqlite.tar"))
    assert rows_of(postgresql) == rows_of(sqlite)
    restored(again, saved(postgresql, tmp_path / "postgresql.tar"))
    assert rows_of(again) == rows_of(sqlite)
    with live(postgresql) as service:
        assert seen(service, who) == before


def test_a_backup_that_fails_leaves_no_file(tmp_path):
    own = settings_for(tmp_path / "data")
    own.data_dir.mkdir()
    with pytest.raises(BackupError, match="nothing in it"):
        saved(own, tmp_path / "backup.tar")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
    (tmp_path / "there.tar").write_bytes(b"mine")
    with pytest.raises(BackupError, match="already"):
        saved(own, tmp_path / "there.tar")
    assert (tmp_path / "there.tar").read_bytes() == b"mine"


def test_unfinished_work_is_handed_back_and_done(tmp_path, new_data_dir):
    first, second = settings_for(new_data_dir("first")), settings_for(new_data_dir("second"))
    with live(first) as service:
        who = service.key()
        ingest(service, who, "otters", OTTERS)
    with open_database(first) as connection:
        connection.execute(
            text(
                "INSERT INTO jobs (id, tenant_id, kind, document_id, from_version, below_version, state, owner, "
                "lease_until, run_after, attempts, created_at, updated_at) "
                "VALUES ('j', 'default', 'label', 'otters', 1, 1, 'running', "
                "'gone', 99999999999, 0, 1, '2026-01-01', '2026-01-01')"
            )
        )
    restored(second, saved(first, tmp_path / "backup.tar"))
    with open_database(second) as connection:
        assert connection.execute(text("SELECT state, owner, lease_until FROM jobs WHERE id = 'j'")).all() == [
            ("queued", None, None)
        ]
    with live(second) as service:
        assert agrees(service)
    with open_database(second) as connection:
        assert connection.execute(text("SELECT id FROM jobs WHERE id = 'j'")).all() == []


def test_files_that_wait_are_in_it_even_when_their_turn_comes_meanwhile(tmp_path, new_data_dir):
    first, second = settings_for(new_data_dir("first")), settings_for(new_data_dir("second"))
    with live(first):
        pass
    waiting = first.data_dir / "files" / "default" / "report.pdf"
    waiting.parent.mkdir(parents=True)
    waiting.write_bytes(os.urandom(100_000))
    content = waiting.read_bytes()
    (first.data_dir / "files" / "link").symlink_to("/etc/passwd")
    back_up(first, tmp_path / "backup.tar", with_vectors=False, announce=lambda _: waiting.unlink(missing_ok=True))
    assert not waiting.exists()
    restored(second, tmp_path / "backup.tar")
    files = [path for path in (second.data_dir / "files").rglob("*") if path.is_file()]
    assert files == [second.data_dir / "files" / "default" / "report.pdf"]
    assert files[0].read_bytes() == content
    assert [path.name for path in first.data_dir.glob("backup-*")] == []


def waiting_file(service: LiveService, who: dict[str, str], name: str) -> Path:
    """Upload a file; returns where it waits."""
    parts = [("files", (name, b"Otters hold hands while they sleep."))]
    (taken,) = service.request("POST", "/v1/ingest", headers=who, files=parts).json()["documents"]
    return service.container.files.path(DEFAULT_TENANT, taken["job_id"])


def test_files_wait_wherever_the_settings_say(tmp_path, new_data_dir):
    first, second = (
        settings_for(new_data_dir(name), uploads=UploadSettings(folder=tmp_path / f"{name} files"))
        for name in ("first", "second")
    )
    with live(first) as service:
        who = service.key()
        assert waiting_file(service, who, "otters.txt").is_relative_to(first.files_folder)
    restored(second, saved(first, tmp_path / "backup.tar"))
    with live(second) as service:
        assert service.run(service.container.worker.run_due()) == 1
        assert [content for _, content in found(service, who, "sleeping animals")] == [OTTERS]


def test_a_file_that_came_and_went_while_the_backup_began_is_missing_to_no_job(tmp_path, new_data_dir, monkeypatch):
    first, second = settings_for(new_data_dir("first")), settings_for(new_data_dir("second"))
    with live(first) as service:
        who = service.key()
        begun = []

        @contextmanager
        def busy(*arguments):
            """A file is uploaded just before a snapshot, and read just after it."""
            file = None if begun else waiting_file(service, who, "otters.txt")
            with snapshotting(*arguments) as snapshot:
                if file is not None:
                    service.run(service.container.worker.run_due())
                begun.append(snapshot)
                yield snapshot

        monkeypatch.setattr(backup, "snapshotting", busy)
        saved(first, tmp_path / "backup.tar")
    restored(second, tmp_path / "backup.tar")
    with live(second) as service:
        assert service.run(service.container.worker.run_due()) == 0
        assert [content for _, content in found(service, who, "sleeping animals")] == [OTTERS]


def test_what_was_indexed_in_part_is_whole_in_a_new_index(tmp_path, new_data_dir, monkeypatch):
    monkeypatch.setattr(pipeline, "BATCH", 1)
    first = settings_for(new_data_dir("first"))
    long = "\n\n".join(f"# Chapter {n}\n\n" + f"Otters sleep in bay {n}. " * 60 for n in range(4))
    with live(first) as service:
        who = service.key()
        body = {"documents": [{"id": "long", "text": long}]}
        (taken,) = service.request("POST", "/v1/ingest", headers=who, json=body).json()["documents"]
        index = service.container.index
        add, parts = index.add, []

        async def breaks(*arguments):
            parts.append(arguments)
            if len(parts) > 2:
                raise VectorStoreError("down")
            await add(*arguments)

        monkeypatch.setattr(index, "add", breaks)
        service.run(service.container.worker.run_due())
        assert told(service, who, f"/v1/jobs/{taken['job_id']}")["progress"] > 0
    for with_vectors in (False, True):
        target = settings_for(new_data_dir(f"restored {with_vectors}"))
        restored(target, saved(first, tmp_path / f"{with_vectors}.tar", with_vectors=with_vectors))
        assert is_whole(target)
    (first.data_dir / "milvus.db").unlink()
    assert is_whole(first)


def is_whole(settings: Settings) -> bool:
    """Tell whether the index holds what was under way, once that is done."""
    with open_database(settings) as connection:
        connection.execute(text("UPDATE jobs SET run_after = 0"))
    with live(settings) as service:
        assert service.run(service.container.worker.run_due()) > 0
        return agrees(service)


def test_logins_end_with_a_restore(tmp_path, new_data_dir):
    first, second = settings_for(new_data_dir("first")), settings_for(new_data_dir("second"))
    with live(first) as service:
        service.request("POST", "/v1/auth/register", json={**EVE, "name": "Eve"})
        token = service.request("POST", "/v1/auth/login", json=EVE).json()["refresh_token"]
    restored(second, saved(first, tmp_path / "backup.tar"))
    with live(second) as service:
        assert service.request("POST", "/v1/auth/refresh", json={"refresh_token": token}).status_code == 401
        assert service.request("POST", "/v1/auth/login", json=EVE).is_success


def test_what_a_shared_milvus_still_holds_is_never_found(tmp_path, new_data_dir):
    with running_milvus(tmp_path) as server:
        milvus = MilvusSettings(uri=server.url)
        first = settings_for(new_data_dir("first"), milvus=milvus)
        with live(first) as service:
            who = service.key()
            ingest(service, who, "plan", OTTERS)
            path = saved(first, tmp_path / "backup.tar", with_vectors=True)
            ingest(service, who, "plan", PUMPS)
            ingest(service, who, "later", "Submarines dive.")
        for name in ("second", "third"):
            own = settings_for(new_data_dir(name), milvus=milvus)
            assert [item.number for item in restored(own, path).generations] == [1, 1, 1]
            with live(own) as service:
                assert found(service, who, "pump P-7 submarines") == [("plan", OTTERS)]
                ingest(service, who, "plan", f"Version two of {name}.")
                assert found(service, who, "version") == [("plan", f"Version two of {name}.")]
                assert agrees(service)
