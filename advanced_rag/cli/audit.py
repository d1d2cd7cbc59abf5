"""The audit log from the command line."""

from typing import Annotated

import typer

from advanced_rag.cli.identities import TenantOption, with_identities
from advanced_rag.cli.terminal import out
from advanced_rag.foundation import Identities
from advanced_rag.storage.audit import AuditFilter

audit = typer.Typer(no_args_is_help=True, help="Who did what to which id.")


@audit.command()
def verify(tenant: TenantOption) -> None:
    """Tell whether nobody changed, removed or put in an entry; exit status 0 exactly when that is so."""

    async def work(identities: Identities) -> None:
        found = await identities.tenants.find(tenant)
        count, broken_at = await identities.audit.verify(found.id)
        out.print(f"{count} entries: " + ("the chain holds" if broken_at is None else f"broken at {broken_at}"))
        if broken_at is not None:
            raise typer.Exit(1)

    with_identities(work)


@audit.command("list")
def list_entries(
    tenant: TenantOption,
    actor: Annotated[str | None, typer.Option(help="Only what this user did.")] = None,
    action: Annotated[str | None, typer.Option(help="Only this, such as ingest or delete_document.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
) -> None:
    """List entries, newest first."""

    async def work(identities: Identities) -> None:
        found = await identities.tenants.find(tenant)
        page = await identities.audit.page(found.id, AuditFilter(actor=actor, action=action), limit, None)
        for entry in page.items:
            deed = entry.deed
            line = f"{entry.number} {deed.at:%Y-%m-%d %H:%M:%S}Z {deed.actor} {deed.action} {deed.outcome} {deed.origin}"
            out.print(f"{line} {' '.join(deed.targets)}", markup=False, highlight=False, soft_wrap=True)

    with_identities(work)
