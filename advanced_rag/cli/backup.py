"""Commands for backups: they work on the stores themselves, whether a service runs or not."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated

import typer

from advanced_rag.auth.secret import SECRET_FILE
from advanced_rag.cli.terminal import announce, err, out
from advanced_rag.config import Settings
from advanced_rag.data_directory import DataDirectory, is_in_use
from advanced_rag.environment import load_settings
from advanced_rag.exceptions import BackupError
from advanced_rag.services.backup import back_up
from advanced_rag.services.restore import Receipts, Restored, read_receipts
from advanced_rag.services.restore import restore as restore_backup
from advanced_rag.storage.archive import Manifest
from advanced_rag.telemetry.logs import logging_to_stderr

File = Annotated[Path, typer.Argument(help="The file of the backup.")]


def backup(
    file: File,
    vectors: Annotated[bool, typer.Option(help="Also the vectors, so that a restore need not compute them.")] = False,  # noqa: FBT002
) -> None:
    """Back up everything into one file, while the service runs."""
    settings = load_settings()
    is_alone = vectors and settings.milvus_is_embedded
    if is_alone and is_in_use(settings.data_dir):
        raise BackupError("--vectors: Milvus Lite serves one process: stop the service first, or leave --vectors away")
    with (
        _quiet(settings),
        DataDirectory(settings.data_dir) if is_alone else nullcontext(),
        err.status("backing up") as progress,
    ):
        manifest = back_up(settings, file, with_vectors=vectors, announce=progress.update)
    rows = sum(member.rows or 0 for member in manifest.members if member.name.startswith("tables/"))
    out.print(f"{file}: {rows} rows of {len(manifest.tables)} tables", markup=False, highlight=False, soft_wrap=True)
    _tell_of_secret(manifest)


def _tell_of_secret(manifest: Manifest) -> None:
    if any(member.name == SECRET_FILE for member in manifest.members):
        announce("it holds the secret of this installation: keep it where you keep passwords")
    else:
        announce("it does not hold the secret of this installation: keep RAG_AUTH__SECRET elsewhere")


def restore(
    file: File,
    receipts: Annotated[
        list[str] | None,
        typer.Option(help="TENANT=FILE: an answer of /v1/receipts; what it names is forgotten again. May be repeated."),
    ] = None,
) -> None:
    """Restore a backup into an empty database and a data directory that no service uses."""
    settings = load_settings()
    wanted = _receipts(receipts or [])
    with _quiet(settings), DataDirectory(settings.data_dir), err.status("checking the backup") as progress:
        restored = restore_backup(settings, file, wanted, progress.update)
    manifest = restored.manifest
    out.print(f"restored what was backed up at {manifest.made_at}", markup=False, highlight=False, soft_wrap=True)
    _tell_of(settings, restored)


def _tell_of(settings: Settings, restored: Restored) -> None:
    if restored.forgotten:
        announce(f"{restored.forgotten} documents and users were forgotten again")
    if not restored.is_secret_the_same:
        announce(
            "this installation has another secret: set RAG_AUTH__SECRET to the old one, or no key of the backup is good"
        )
    if not restored.manifest.vectors:
        announce("the next start computes the vectors anew")
    if restored.generations and not settings.milvus_is_embedded:
        prefix = settings.milvus.collection_prefix
        names = ", ".join(prefix + generation.collection for generation in restored.generations)
        announce(f"nobody needs these collections of Milvus any more: {names}")


def _receipts(options: list[str]) -> Receipts:
    named = [option.partition("=") for option in options]
    if not all(tenant and file for tenant, _, file in named):
        raise BackupError("--receipts: say TENANT=FILE")
    return {tenant: read_receipts(Path(file)) for tenant, _, file in named}


def _quiet(settings: Settings) -> AbstractContextManager[None]:
    return logging_to_stderr(settings.logging.model_copy(update={"level": "error", "format": "console"}))
