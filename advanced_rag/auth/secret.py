"""The installation's secret: what keys are hashed and tokens are signed with."""

import hashlib
import hmac
import os
import secrets
from contextlib import suppress
from pathlib import Path

from advanced_rag.config import Settings
from advanced_rag.exceptions import StartupError

SECRET_FILE = "auth.secret"  # noqa: S105 - the name of a file
_BYTES = 32


def load_secret(settings: Settings) -> bytes:
    """Return the secret of the settings, or the one in the data directory, which is made where there is none.

    Raises StartupError where replicas would each make their own.
    """
    if settings.auth.secret is not None:
        return settings.auth.secret.get_secret_value().encode()
    if settings.auth.mode == "required":
        check_shared(settings)
    path = settings.data_dir / SECRET_FILE
    with suppress(FileExistsError):
        _make(path)
    return bytes.fromhex(path.read_text(encoding="ascii").strip())


def check_shared(settings: Settings) -> None:
    """Make sure that what is made with the secret is known to every replica; raises StartupError."""
    if settings.database.url is not None and settings.auth.secret is None:
        raise StartupError(
            "auth.secret: set RAG_AUTH__SECRET, the same for every replica, where identities are in PostgreSQL"
        )


def derive(secret: bytes, purpose: str) -> bytes:
    """Return a secret of its own for a purpose; none of them tells of another (HMAC-SHA256)."""
    return hmac.digest(secret, purpose.encode(), hashlib.sha256)


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(whole, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_hex(_BYTES))
    try:
        os.link(whole, path)  # all of it is there at once, and the first to come wins
    finally:
        whole.unlink()
