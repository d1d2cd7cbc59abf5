"""Jobs from the command line."""

from typing import Annotated, Any

import typer
from rich.table import Column, Table

from advanced_rag.cli.service import Url, with_client
from advanced_rag.cli.terminal import out
from advanced_rag.client import AsyncClient

jobs = typer.Typer(no_args_is_help=True, help="What becomes of documents that were taken in.")


@jobs.command("list")
def list_jobs(
    status: Annotated[str | None, typer.Option(help="queued, running, ready, failed, cancelled or dead.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 50,
    url: Url = None,
) -> None:
    """List jobs, newest first."""

    async def run(client: AsyncClient) -> None:
        _show((await client.jobs(status=status, limit=limit))["jobs"])

    with_client(url, run)


@jobs.command()
def show(job_id: str, url: Url = None) -> None:
    """Tell how far a job has come."""

    async def run(client: AsyncClient) -> None:
        _show([await client.job(job_id)])

    with_client(url, run)


@jobs.command()
def cancel(job_id: str, url: Url = None) -> None:
    """Stop a job, at whatever stage it is."""

    async def run(client: AsyncClient) -> None:
        _show([await client.cancel_job(job_id)])

    with_client(url, run)


@jobs.command()
def retry(job_id: str, url: Url = None) -> None:
    """Queue a dead job again."""

    async def run(client: AsyncClient) -> None:
        _show([await client.retry_job(job_id)])

    with_client(url, run)


@jobs.command()
def purge(url: Url = None) -> None:
    """Remove the dead jobs of the tenant, with their files."""

    async def run(client: AsyncClient) -> None:
        out.print(f"{(await client.purge_dead_jobs())['purged']} jobs removed")

    with_client(url, run)


def _show(items: list[dict[str, Any]]) -> None:
    table = Table(Column("job_id", no_wrap=True), Column("document_id", overflow="fold"), Column("status", overflow="fold"))
    for item in items:
        table.add_row(item["job_id"], item["document_id"], _status(item))
    out.print(table)


def _status(item: dict[str, Any]) -> str:
    """Return what became of a job, or how far it is, and what is in its way."""
    parts = [item["status"]]
    if item["status"] in {"queued", "running"}:
        parts.append(f"after {item['stage']}, {item['progress']:.0%}")
    if item["attempts"] > 1:
        parts.append(f"attempt {item['attempts']}")
    return ", ".join(parts) + (f": {item['error']['code']}" if item.get("error") else "")
