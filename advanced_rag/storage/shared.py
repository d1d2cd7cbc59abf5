"""Redis: what replicas share. The service goes on without it."""

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from redis import Redis, RedisError
from redis import asyncio as aioredis
from redis.backoff import NoBackoff
from redis.retry import Retry

from advanced_rag.config import RedisSettings
from advanced_rag.exceptions import SharedStoreError
from advanced_rag.models.documents import TenantId


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


_CHANNEL = "advanced-rag:jobs"
_PATIENCE_S = 5.0


class Bell:
    """Tells other replicas that something was told of a tenant's jobs: never what."""

    def __init__(self, settings: RedisSettings, url: str) -> None:
        self._client = aioredis.Redis.from_url(url, **connection_options(settings))

    async def ring(self, tenant: TenantId) -> None:
        """Tell; where Redis does not answer, nobody is told."""
        with suppress(RedisError, OSError):
            await self._client.publish(_CHANNEL, tenant)

    async def heard(self) -> AsyncIterator[TenantId]:
        """Yield the tenants others tell of; raises SharedStoreError when Redis is gone."""
        try:
            async with self._client.pubsub() as listening:
                await listening.subscribe(_CHANNEL)
                while True:
                    message = await listening.get_message(ignore_subscribe_messages=True, timeout=_PATIENCE_S)
                    if message is not None:
                        yield TenantId(message["data"].decode())
        except (RedisError, OSError) as error:
            raise SharedStoreError("Redis does not answer") from error

    async def close(self) -> None:
        """Close its connections."""
        await self._client.aclose()
