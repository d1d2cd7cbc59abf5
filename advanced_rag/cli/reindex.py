"""Commands that build the index anew: at the service that runs, or in one opened for the command."""

import asyncio
import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.progress import Progress
from rich.table import Table

from advanced_rag.cli.service import Url, with_client
from advanced_rag.cli.terminal import err, out
from advanced_rag.client import AsyncClient
from advanced_rag.exceptions import ReindexError, StartupError

_EVERY_S = 1.0
_PLAN = ("kind", "collection", "action", "chunks", "missing", "orphaned")

reindex = typer.Typer(invoke_without_command=True, help="Build the index anew while the service runs (docs/REINDEX.md).")
Kinds = Annotated[
    list[str] | None,
    typer.Option("--kind", help="semantic, sparse, domain_NAME or all; may be repeated. By default what needs it."),
]


@reindex.callback()
def build(
    context: typer.Context,
    kind: Kinds = None,
    dry_run: Annotated[bool, typer.Option(help="Tell what would be done.")] = False,  # noqa: FBT002
    batch_size: Annotated[int | None, typer.Option(min=1, max=1000, help="Chunks written together.")] = None,
    verify: Annotated[bool, typer.Option(help="Compare SQL and Milvus afterwards.")] = False,  # noqa: FBT002
    evaluate: Annotated[Path | None, typer.Option(help="Folder of an evaluation set in BEIR layout.")] = None,
    force: Annotated[bool, typer.Option(help="Switch although it is worse on the evaluation set.")] = False,  # noqa: FBT002
    url: Url = None,
) -> None:
    """Build, compare and switch; without a sub-command."""
    if context.invoked_subcommand is not None:
        return
    evaluation = read_evaluation(evaluate) if evaluate else None
    options = {"batch_size": batch_size, "verify": verify, "force": force, "evaluation": evaluation}

    async def run(client: AsyncClient) -> None:
        if dry_run:
            _show(_PLAN, (await client.plan_reindex(kinds=kind))["kinds"])
            return
        await client.reindex(kinds=kind, **options)
        _tell(await _watch(client))

    with_client(url, run, reindexing=True)


@reindex.command()
def status(url: Url = None) -> None:
    """Tell how far a run has come, and which generations there are."""

    async def run(client: AsyncClient) -> None:
        found = await client.reindexing()
        _show(("collection", "state", "model", "encoder", "changed_at"), found["generations"])
        if found["run"] is not None:
            _show(("id", "state", "phase", "done", "total", "error_code"), [found["run"]])

    with_client(url, run, reindexing=True)


@reindex.command()
def cancel(url: Url = None) -> None:
    """Stop a run, and give up what was built and not switched."""

    async def run(client: AsyncClient) -> None:
        await client.cancel_reindex()

    with_client(url, run, reindexing=True)


@reindex.command()
def rollback(kind: Kinds = None, url: Url = None) -> None:
    """Search again what was replaced last."""

    async def run(client: AsyncClient) -> None:
        live = (await client.roll_back(kinds=kind))["live"]
        out.print("searched again: " + ", ".join(live.values()), markup=False, highlight=False)

    with_client(url, run)


def read_evaluation(folder: Path) -> dict[str, Any]:
    """Read queries.jsonl and qrels.tsv, or qrels/test.tsv; raises StartupError."""
    judged = folder / "qrels.tsv"
    try:
        with (judged if judged.exists() else folder / "qrels" / "test.tsv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
        lines = [orjson.loads(line) for line in (folder / "queries.jsonl").read_bytes().splitlines()]
        judgments: dict[str, dict[str, int]] = {}
        for row in rows:
            judgments.setdefault(row["query-id"], {})[row["corpus-id"]] = int(row["score"])
        known = {str(line.get("_id", line.get("id"))): line["text"] for line in lines}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StartupError(f"{folder}: no evaluation set in BEIR layout ({type(error).__name__})") from None
    return {"queries": {key: text for key, text in known.items() if key in judgments}, "judgments": judgments}


async def _watch(client: AsyncClient) -> dict[str, Any]:
    """Show how far the run has come until it has ended."""
    with Progress(console=err) as progress:
        task = progress.add_task("preparing", total=None)
        while True:
            run: dict[str, Any] = (await client.reindexing())["run"]
            if run["state"] != "running":
                return run
            progress.update(task, description=run["phase"], completed=run["done"], total=run["total"] or None)
            await asyncio.sleep(_EVERY_S)


def _tell(run: dict[str, Any]) -> None:
    if not run["result"].get("switched") and run["state"] == "done":
        out.print("nothing had to be built anew: --kind all does it all the same", markup=False, highlight=False)
    for name, found in run["result"].items():
        if found:
            out.print(f"{name}: {orjson.dumps(found).decode()}", markup=False, highlight=False, soft_wrap=True)
    if run["state"] != "done":
        raise ReindexError(f"the run {run['state']}: {run['error_message'] or 'it was stopped'}")
    if any(run["result"].get("verified", {}).values()):
        raise typer.Exit(1)


def _show(columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    table = Table(*columns)
    for row in rows:
        table.add_row(*("" if row[name] is None else str(row[name]) for name in columns))
    out.print(table)
