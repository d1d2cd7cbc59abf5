"""Redis: what replicas share. The service goes on without it."""

from typing import Any

from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry

from advanced_rag.config import RedisSettings
from advanced_rag.exceptions import SharedStoreError


def connection_options(settings: RedisSettings) -> dict[str, Any]:
    """Return what every client is opened with: left to itself, redis-py would wait and try again for seconds."""
    timeout_s = settings.timeout_s
    return {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s, "retry": Retry(NoBackoff(), 0)}


class SharedStore:
    """A Redis that is asked whether it is there; calls block, callers use threads."""

    def __init__(self, settings: RedisSettings, url: str) -> None:
        self._client = Redis.from_url(url, **connection_options(settings))

    def ping(self) -> None:
        """Prove that it answers; raises SharedStoreError."""
        try:
            self._client.ping()
        except RedisError as error:
            raise SharedStoreError("Redis does not answer") from error

    def close(self) -> None:
        """Close its connections."""
        self._client.close()
