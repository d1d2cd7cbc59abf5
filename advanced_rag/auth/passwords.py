"""Passwords: argon2id, the same effort whether somebody has that name or not."""

from anyio import CapacityLimiter, to_thread
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

_AT_ONCE = 2  # each takes 64 MiB and a tenth of a second


class Passwords:
    """Hashes and checks passwords in threads of their own, two at a time."""

    def __init__(self) -> None:
        self._hasher = PasswordHash((Argon2Hasher(),))
        self._threads: CapacityLimiter | None = None
        self._nobody = self._hasher.hash("a password nobody has")

    async def hash(self, password: str) -> str:
        """Return what is stored of a password."""
        return await to_thread.run_sync(self._hasher.hash, password, limiter=self._limiter())

    async def fits(self, password: str, stored: str | None) -> bool:
        """Tell whether a password is the one that was stored; None, for nobody, takes as long."""
        verify = self._hasher.verify
        is_right = await to_thread.run_sync(verify, password, stored or self._nobody, limiter=self._limiter())
        return is_right and stored is not None

    def _limiter(self) -> CapacityLimiter:
        if self._threads is None:
            self._threads = CapacityLimiter(_AT_ONCE)
        return self._threads
