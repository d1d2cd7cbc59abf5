"""Tenants: made, listed, switched off and on."""

import threading
import time
from collections.abc import Callable

from cachetools import TTLCache

from advanced_rag.exceptions import ConflictError, CredentialsError, NotFoundError, TenantDisabledError
from advanced_rag.models.documents import TenantId
from advanced_rag.models.identity import Tenant
from advanced_rag.services.sql import Sql
from advanced_rag.storage.tenants import TenantRepository

_REMEMBERED, _FRESH_S = 1_000, 4.0


class TenantService:
    """The tenants of an installation."""

    def __init__(self, database: Sql, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._known: TTLCache[str, Tenant] = TTLCache(_REMEMBERED, _FRESH_S, timer=clock)
        self._lock = threading.Lock()

    async def create(self, name: str) -> Tenant:
        """Make a tenant; raises ConflictError when the name is taken."""
        try:
            return await self._database.write_across(lambda t: TenantRepository(t).create(name))
        except ConflictError:
            raise ConflictError("there is a tenant of this name") from None

    async def all(self) -> list[Tenant]:
        """Return every tenant."""
        return await self._database.read_across(lambda t: TenantRepository(t).all())

    async def find(self, name_or_id: str) -> Tenant:
        """Return the tenant of a name or an id; raises NotFoundError."""
        return _found(await self._database.read_across(lambda t: TenantRepository(t).find(name_or_id)))

    async def active(self, name_or_id: str) -> TenantId:
        """Return the id of a tenant that is switched on, as of the last few seconds.

        Raises CredentialsError for none, TenantDisabledError.
        """
        with self._lock:
            tenant = self._known.get(name_or_id)
        if tenant is None:
            found = await self._database.read_across(lambda t: TenantRepository(t).find(name_or_id))
            if found is None:
                raise CredentialsError("the token speaks of no tenant here")
            tenant = found
            with self._lock:
                self._known[name_or_id] = tenant
        if not tenant.is_active:
            raise TenantDisabledError("the tenant is switched off")
        return tenant.id

    async def set_active(self, name_or_id: str, *, is_active: bool) -> Tenant:
        """Switch a tenant on or off: off, its keys are refused within five seconds. Raises NotFoundError."""
        tenant = await self.find(name_or_id)
        return _found(
            await self._database.write_across(lambda t: TenantRepository(t).set_active(tenant.id, is_active=is_active))
        )


def _found(tenant: Tenant | None) -> Tenant:
    if tenant is None:
        raise NotFoundError("no such tenant")
    return tenant
