"""Installations that are backed up and restored, and what people see of them."""

import hashlib
import io
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import orjson
from pydantic import SecretStr
from sqlalchemy import create_engine, inspect

from advanced_rag.config import AuthSettings, DatabaseSettings, ExamplesSettings, JobSettings, Settings
from advanced_rag.models.holds import Receipt
from advanced_rag.services.backup import back_up
from advanced_rag.services.restore import Restored, restore
from advanced_rag.storage.backup import snapshotting
from tests.support.live import LiveService
from tests.support.service import INGEST

REQUIRED = AuthSettings(mode="required", registration="open")
SHARED = AuthSettings(mode="required", registration="open", secret=SecretStr("s" * 32))
OTTERS, PUMPS = "Otters hold hands while they sleep.", "The pump P-7 runs at 40 bar."
EVE = {"email": "eve@example.org", "password": "a long password"}


def settings_for(data_dir: Path, url: str | None = None, **changed: Any) -> Settings:
    own = {"database": DatabaseSettings(url=url), "examples": ExamplesSettings(ingest=False), "auth": REQUIRED, **changed}
    return Settings(data_dir=data_dir, **own)


def live(settings: Settings) -> LiveService:
    names = ("auth", "milvus", "uploads")
    return LiveService(
        settings.data_dir,
        settings.database.url and settings.database.url.get_secret_value(),
        jobs=JobSettings(embedded=False),  # whoever verifies, does what is due first
        **{name: getattr(settings, name) for name in names},
    )


def saved(settings: Settings, path: Path, *, with_vectors: bool = False) -> Path:
    back_up(settings, path, with_vectors=with_vectors, announce=lambda _: None)
    return path


def restored(settings: Settings, path: Path, **receipts: list[Receipt]) -> Restored:
    return restore(settings, path, receipts, lambda _: None)


def lived_in(service: LiveService) -> dict[str, dict[str, str]]:
    """Let people use every part of a service; returns the keys they have."""
    who = {name: service.key(role=role, user_id=name) for name, role in (("admin", "admin"), ("ann", "writer"))}
    ingest(service, who["ann"], "otters", OTTERS, metadata={"year": 2026, "tags": ["ünï", None, 0.5]})
    ingest(service, who["ann"], "pumps", "An older text.")
    ingest(service, who["ann"], "pumps", PUMPS, access={"visibility": "private"})
    ingest(service, service.key("Other tenant"), "otters", "Sea otters float on their backs.")
    assert service.request("POST", "/v1/auth/register", json={**EVE, "name": "Eve"}).is_success
    said = service.request("POST", "/v1/chat", headers=who["ann"], json={"message": "What do otters hold?"})
    assert said.json()["answered"]
    service.request("POST", "/v1/holds", headers=who["admin"], json={"kind": "document", "target": "otters", "reason": "x"})
    return who


def seen(service: LiveService, who: dict[str, dict[str, str]]) -> dict[str, Any]:
    """Return what people see of a service."""
    ann, admin = who["ann"], who["admin"]
    sessions = told(service, ann, "/v1/sessions")
    return {
        "documents": [told(service, ann, f"/v1/documents/{key}") for key in ("otters", "pumps")],
        "access": told(service, ann, "/v1/documents/pumps/access"),
        "found": [found(service, ann, query) for query in ("animals that sleep", "P-7 pressure")],
        "hidden": found(service, admin, "P-7 pressure"),
        "sessions": sessions,
        "messages": [told(service, ann, f"/v1/sessions/{item['id']}/messages") for item in sessions["sessions"]],
        "holds": told(service, admin, "/v1/holds"),
        "audit": told(service, admin, "/v1/audit/verify")["holds"],
    }


def ingest(service: LiveService, who: dict[str, str], key: str, content: str, **more: Any) -> None:
    answer = service.request("POST", INGEST, headers=who, json={"documents": [{"id": key, "text": content, **more}]})
    assert answer.json()["documents"][0]["status"] in {"created", "replaced"}


def found(service: LiveService, who: dict[str, str], query: str) -> list[tuple[str, str]]:
    hits = service.request("POST", "/v1/retrieve", headers=who, json={"query": query}).json()["hits"]
    return [(hit["document_id"], hit["text"]) for hit in hits]


def told(service: LiveService, who: dict[str, str], path: str) -> Any:
    return service.request("GET", path, headers=who).json()


def agrees(service: LiveService) -> bool:
    """Tell whether the index holds what the database says, once what is due is done."""
    answer = service.request("POST", "/v1/index/verify", headers=service.key(role="operator"), json={})
    return bool(answer.json()["agrees"])


def forget(service: LiveService, who: dict[str, str], kind: str, target: str) -> None:
    body = {"kind": kind, "target": target}
    assert service.request("POST", "/v1/forget", headers=who, json=body).status_code == 200


def rows_of(settings: Settings) -> dict[str, list[bytes]]:
    """Return every row as its line, but for what a restore changes and how a database writes JSON."""
    with snapshotting(settings.database_url, settings.database) as snapshot:
        return {
            shape.name: sorted(_plain(line) for line in snapshot.lines(shape))
            for shape in snapshot.shapes
            if shape.name != "index_generations"
        }


def _plain(line: bytes) -> bytes:
    return orjson.dumps([_read(value) for value in orjson.loads(line)], option=orjson.OPT_SORT_KEYS)


def _read(value: Any) -> Any:
    is_json = isinstance(value, str) and value[:1] in {"{", "["}
    return orjson.loads(value) if is_json else value


def tables_of(settings: Settings) -> set[str]:
    engine = create_engine(settings.database_url)
    try:
        return set(inspect(engine).get_table_names())
    finally:
        engine.dispose()


def open_database(settings: Settings):
    return create_engine(settings.database_url).begin()


def rewritten(
    file: Path,
    change: Callable[[dict[str, Any]], None] = lambda _: None,
    members: Mapping[str, bytes | None] = MappingProxyType({}),
) -> bytes:
    """Return a backup with another manifest, digested as it should be; members are replaced, added, or left out (None)."""
    target = io.BytesIO()
    with tarfile.open(file) as source, tarfile.open(fileobj=target, mode="w") as tar:
        bodies = {name: source.extractfile(name).read() for name in source.getnames()}
        manifest = orjson.loads(bodies.pop("manifest.json"))
        del bodies["manifest.sha256"]
        for item in manifest["members"]:
            body = members.get(item["name"]) or bodies[item["name"]]
            item.update(bytes=len(body), sha256=hashlib.sha256(body).hexdigest())
        change(manifest)
        text = orjson.dumps(manifest)
        digest = hashlib.sha256(text).hexdigest().encode()
        for name, body in {**bodies, **members, "manifest.json": text, "manifest.sha256": digest}.items():
            if body is not None:
                _put(tar, name, body)
    return target.getvalue()


def _put(tar: tarfile.TarFile, name: str, body: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(body)
    tar.addfile(info, io.BytesIO(body))
