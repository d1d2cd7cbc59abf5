"""For administrators: API keys of their tenant, and the tenants of the installation."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Path, Query, status

from advanced_rag.api.body import StrictJsonRoute
from advanced_rag.api.context import BoundedContext
from advanced_rag.api.identity import needs
from advanced_rag.api.schemas.admin import (
    KeyIn,
    KeyOut,
    KeyPage,
    NewKeyOut,
    RotateRequest,
    TenantOut,
    TenantPage,
    TenantRequest,
    TenantUpdate,
)
from advanced_rag.api.schemas.usage import QuotasBody, QuotasOut
from advanced_rag.models.identity import KeyRequest
from advanced_rag.models.quota import Quotas
from advanced_rag.storage.tables import now

router = APIRouter(route_class=StrictJsonRoute, tags=["admin"])

KeyIdPath = Annotated[str, Path(max_length=64)]
TenantPath = Annotated[str, Path(max_length=255, description="a tenant's id or name")]
Limit = Annotated[int, Query(ge=1, le=200)]
Cursor = Annotated[str | None, Query(max_length=600)]


@router.post("/v1/keys", dependencies=[needs("admin:keys")], status_code=status.HTTP_201_CREATED)
async def create_key(body: KeyIn, context: BoundedContext) -> NewKeyOut:
    """Make a key for the caller's tenant; the answer alone ever shows it."""
    key, secret = await context.services.identities.keys.create(context.tenant, _wanted(body), context.principal)
    context.targets.append(key.id)
    return NewKeyOut.of(key, secret)


@router.get("/v1/keys", dependencies=[needs("admin:keys")])
async def list_keys(context: BoundedContext, limit: Limit = 50, cursor: Cursor = None) -> KeyPage:
    """List the keys of the caller's tenant, oldest first."""
    page = await context.services.identities.keys.page(context.tenant, limit, cursor)
    return KeyPage(keys=[KeyOut.model_validate(key) for key in page.items], next_cursor=page.next_cursor)


@router.post("/v1/keys/{key_id}/rotate", dependencies=[needs("admin:keys")], status_code=status.HTTP_201_CREATED)
async def rotate_key(key_id: KeyIdPath, body: RotateRequest, context: BoundedContext) -> NewKeyOut:
    """Make a key like another one; the old one goes on for the overlap, so that nobody is locked out."""
    overlap = timedelta(seconds=body.overlap_s)
    key, secret = await context.services.identities.keys.rotate(context.tenant, key_id, overlap, context.principal)
    context.targets.append(key.id)
    return NewKeyOut.of(key, secret)


@router.delete("/v1/keys/{key_id}", dependencies=[needs("admin:keys")], status_code=status.HTTP_204_NO_CONTENT)
async def revoke_key(key_id: KeyIdPath, context: BoundedContext) -> None:
    """End a key; every replica refuses it within five seconds."""
    await context.services.identities.keys.revoke(context.tenant, key_id)


@router.post("/v1/tenants", dependencies=[needs("admin:tenants")], status_code=status.HTTP_201_CREATED)
async def create_tenant(body: TenantRequest, context: BoundedContext) -> TenantOut:
    """Make a tenant."""
    tenant = await context.services.identities.tenants.create(body.name)
    context.targets.append(tenant.id)
    return TenantOut.model_validate(tenant)


@router.get("/v1/tenants", dependencies=[needs("admin:tenants")])
async def list_tenants(context: BoundedContext) -> TenantPage:
    """List every tenant, by name."""
    return TenantPage(
        tenants=[TenantOut.model_validate(tenant) for tenant in await context.services.identities.tenants.all()]
    )


@router.patch("/v1/tenants/{tenant}", dependencies=[needs("admin:tenants")])
async def update_tenant(tenant: TenantPath, body: TenantUpdate, context: BoundedContext) -> TenantOut:
    """Switch a tenant off, so that its identities are refused within five seconds, or on again."""
    return TenantOut.model_validate(await context.services.identities.tenants.set_active(tenant, is_active=body.is_active))


@router.put("/v1/tenants/{tenant}/quotas", dependencies=[needs("admin:tenants")])
async def set_quotas(tenant: TenantPath, body: QuotasBody, context: BoundedContext) -> QuotasOut:
    """Say what a tenant may hold, and use in a day."""
    found = await context.services.identities.tenants.find(tenant)
    quotas = Quotas(**body.model_dump())
    await context.services.identities.quotas.set(found.id, quotas)
    return QuotasOut.model_validate(quotas)


@router.post("/v1/tenants/{tenant}/keys", dependencies=[needs("admin:tenants")], status_code=status.HTTP_201_CREATED)
async def create_key_of_tenant(tenant: TenantPath, body: KeyIn, context: BoundedContext) -> NewKeyOut:
    """Make a key for a tenant: how the administrator of a new one gets in."""
    found = await context.services.identities.tenants.find(tenant)
    key, secret = await context.services.identities.keys.create(found.id, _wanted(body), context.principal)
    context.targets.append(key.id)
    return NewKeyOut.of(key, secret)


def _wanted(body: KeyIn) -> KeyRequest:
    expires_at = now() + timedelta(days=body.expires_in_days) if body.expires_in_days else None
    return KeyRequest(body.name, body.role, tuple(body.scopes), body.user_id, tuple(body.groups), expires_at)
