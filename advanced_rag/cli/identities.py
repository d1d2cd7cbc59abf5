"""Commands for tenants and API keys: they work on the database itself, whether a service runs or not."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Annotated, Any

import orjson
import typer
from rich.table import Column, Table

from advanced_rag.cli.terminal import out, run_to_end
from advanced_rag.environment import load_settings
from advanced_rag.foundation import Identities, open_identities
from advanced_rag.models.identity import ApiKey, KeyRequest, Tenant
from advanced_rag.models.quota import Quotas
from advanced_rag.storage.tables import now
from advanced_rag.telemetry.logs import logging_to_stderr

tenants = typer.Typer(no_args_is_help=True, help="Teams: nothing of one is ever seen by another.")
keys = typer.Typer(no_args_is_help=True, help="API keys.")

TenantOption = Annotated[str, typer.Option("--tenant", help="A tenant's name or id.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_PAGE = 200
_TENANT_COLUMNS = ("id", "name", "is_active")
_KEY_COLUMNS = ("id", "name", "role", "expires_at", "revoked_at", "last_used_at")


@tenants.command("create")
def create_tenant(name: str, *, as_json: AsJson = False) -> None:
    """Make a tenant."""

    async def work(identities: Identities) -> None:
        tenant = await identities.tenants.create(name)
        _show(_tenant(tenant), as_json=as_json)

    with_identities(work)


@tenants.command("list")
def list_tenants(*, as_json: AsJson = False) -> None:
    """List every tenant."""

    async def work(identities: Identities) -> None:
        rows = [_tenant(tenant) for tenant in await identities.tenants.all()]
        _show_all(rows, _TENANT_COLUMNS, as_json=as_json)

    with_identities(work)


@tenants.command("quota")
def set_quota(
    name: str,
    documents: Annotated[int | None, typer.Option(min=0, help="Documents it may hold.")] = None,
    chunks: Annotated[int | None, typer.Option(min=0, help="Chunks of them.")] = None,
    text_bytes: Annotated[int | None, typer.Option("--bytes", min=0, help="Bytes of text.")] = None,
    requests_per_day: Annotated[int | None, typer.Option(min=0, help="Requests a day (UTC).")] = None,
    tokens_per_day: Annotated[int | None, typer.Option(min=0, help="Tokens embedded and read for answers a day.")] = None,
) -> None:
    """Say what a tenant may; what is left out is not limited."""
    quotas = Quotas(documents, chunks, text_bytes, requests_per_day, tokens_per_day)

    async def work(identities: Identities) -> None:
        await identities.quotas.set((await identities.tenants.find(name)).id, quotas)

    with_identities(work)


@tenants.command("usage")
def show_usage(*, as_json: AsJson = False) -> None:
    """Tell what every tenant holds and has used today."""

    async def work(identities: Identities) -> None:
        rows = []
        for tenant in await identities.tenants.all():
            usage = await identities.quotas.usage(tenant.id)
            rows.append({"tenant": tenant.name, **asdict(usage.holdings), **asdict(usage.today)})
        _show_all(rows, ("tenant", "documents", "chunks", "bytes", "requests", "tokens"), as_json=as_json)

    with_identities(work)


@tenants.command("disable")
def disable_tenant(name: str) -> None:
    """Refuse every identity of a tenant, within five seconds."""
    with_identities(lambda identities: _switch(identities, name, is_active=False))


@tenants.command("enable")
def enable_tenant(name: str) -> None:
    """Know the identities of a tenant again."""
    with_identities(lambda identities: _switch(identities, name, is_active=True))


async def _switch(identities: Identities, name: str, *, is_active: bool) -> None:
    _show(_tenant(await identities.tenants.set_active(name, is_active=is_active)), as_json=False)


@keys.command("create")
def create_key(
    tenant: TenantOption,
    role: Annotated[str, typer.Option(help="reader, writer, admin, operator, or one of auth.roles.")],
    name: Annotated[str, typer.Option(help="What the key is for.")] = "key",
    scope: Annotated[list[str] | None, typer.Option(help="A scope beyond the role; may be repeated.")] = None,
    user: Annotated[str | None, typer.Option(help="Whom the key stands for; by default for itself.")] = None,
    group: Annotated[list[str] | None, typer.Option(help="A group its user is in; may be repeated.")] = None,
    expires_days: Annotated[int | None, typer.Option(min=1, max=3650, help="Days until it ends.")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Make a key; it is shown this once."""
    expires_at = now() + timedelta(days=expires_days) if expires_days else None
    wanted = KeyRequest(name, role, tuple(scope or ()), user, tuple(group or ()), expires_at)

    async def work(identities: Identities) -> None:
        found = await identities.tenants.find(tenant)
        key, secret = await identities.keys.create(found.id, wanted)
        _show({"key": secret, **_key(key)}, as_json=as_json)

    with_identities(work)


@keys.command("list")
def list_keys(tenant: TenantOption, *, as_json: AsJson = False) -> None:
    """List the keys of a tenant."""

    async def work(identities: Identities) -> None:
        found = await identities.tenants.find(tenant)
        rows = [_key(key) async for key in _all_keys(identities, found)]
        _show_all(rows, _KEY_COLUMNS, as_json=as_json)

    with_identities(work)


async def _all_keys(identities: Identities, tenant: Tenant) -> AsyncIterator[ApiKey]:
    cursor: str | None = None
    while True:
        page = await identities.keys.page(tenant.id, _PAGE, cursor)
        for key in page.items:
            yield key
        cursor = page.next_cursor
        if cursor is None:
            return


@keys.command("rotate")
def rotate_key(
    key_id: str,
    tenant: TenantOption,
    overlap_s: Annotated[int, typer.Option(min=0, max=2_592_000, help="Seconds the old key goes on.")] = 86_400,
    *,
    as_json: AsJson = False,
) -> None:
    """Make a key like another one, which goes on for the overlap."""

    async def work(identities: Identities) -> None:
        found = await identities.tenants.find(tenant)
        key, secret = await identities.keys.rotate(found.id, key_id, timedelta(seconds=overlap_s))
        _show({"key": secret, **_key(key)}, as_json=as_json)

    with_identities(work)


@keys.command("revoke")
def revoke_key(key_id: str, tenant: TenantOption) -> None:
    """End a key; every replica refuses it within five seconds."""

    async def work(identities: Identities) -> None:
        found = await identities.tenants.find(tenant)
        await identities.keys.revoke(found.id, key_id)

    with_identities(work)


def with_identities(work: Callable[[Identities], Awaitable[None]]) -> None:
    """Run a command with what administers identities."""

    async def call() -> None:
        async with _identities() as identities:
            await work(identities)

    run_to_end(call())


@asynccontextmanager
async def _identities() -> AsyncIterator[Identities]:
    settings = load_settings()
    quiet = settings.logging.model_copy(update={"level": "error", "format": "console"})
    with logging_to_stderr(quiet):
        async with open_identities(settings) as identities:
            yield identities


def _tenant(tenant: Tenant) -> dict[str, Any]:
    return {"id": tenant.id, "name": tenant.name, "is_active": tenant.is_active}


def _key(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "tenant": key.tenant,
        "name": key.name,
        "prefix": key.prefix,
        "role": key.role,
        "scopes": list(key.scopes),
        "user_id": key.user_id,
        "groups": list(key.groups),
        "expires_at": _time(key.expires_at),
        "revoked_at": _time(key.revoked_at),
        "last_used_at": _time(key.last_used_at),
    }


def _time(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="seconds") if moment else None


def _show(item: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(orjson.dumps(item).decode())
        return
    for name, value in item.items():
        if value:
            out.print(f"{name}: {', '.join(value) if isinstance(value, list) else value}", markup=False, soft_wrap=True)


def _cell(value: Any) -> str:
    return "" if value is None else str(value)


def _show_all(items: list[dict[str, Any]], columns: Sequence[str], *, as_json: bool) -> None:
    if as_json:
        typer.echo(orjson.dumps(items).decode())
        return
    table = Table(*(Column(name, no_wrap=name == "id") for name in columns))
    for item in items:
        table.add_row(*(_cell(item[name]) for name in columns))
    out.print(table)
