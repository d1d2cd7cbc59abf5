"""Documents, searched and asked from the command line."""

from typing import Annotated, Any

import typer
from rich.table import Table

from advanced_rag.cli.service import Url, with_client
from advanced_rag.cli.terminal import err, out
from advanced_rag.client import AsyncClient


def search(query: str, top_k: int = 5, url: Url = None) -> None:
    """Find passages."""

    async def run(client: AsyncClient) -> None:
        answer = await client.retrieve(query, top_k=top_k)
        for n, hit in enumerate(answer["hits"], start=1):
            _print(f"{n}. {hit['score']:.3f}  {hit['title']}  ({hit['document_id']})")
            _print("   " + " ".join(hit["text"].split())[:240])
        _warn(answer)

    with_client(url, run)


def ask(question: str, url: Url = None) -> None:
    """Ask a question."""

    async def run(client: AsyncClient) -> None:
        answer = await client.chat(question)
        _print(answer["answer"])
        for citation in answer["citations"]:
            place = f"{citation['document_id']}, characters {citation['start']}-{citation['end']}"
            _print(f"[{citation['n']}] {citation['title']} ({place})")
        _warn(answer)

    with_client(url, run)


def status(url: Url = None) -> None:
    """Tell what the service holds and is made of."""

    async def run(client: AsyncClient) -> None:
        table = Table("what", "value")
        for key, value in (await client.status()).items():
            table.add_row(key, ", ".join(f"{k}: {v}" for k, v in value.items()) if isinstance(value, dict) else str(value))
        out.print(table)

    with_client(url, run)


def verify(
    repair: Annotated[bool, typer.Option(help="Mend what differs.")] = False,
    all_tenants: Annotated[bool, typer.Option(help="Every tenant, not only that of the key.")] = False,
    url: Url = None,
) -> None:
    """Compare SQL and Milvus; exit status 0 exactly when they agree."""

    async def run(client: AsyncClient) -> None:
        report = await client.verify(repair=repair, all_tenants=all_tenants)
        table = Table("collection", "expected", "found", "missing", "orphaned", "repaired")
        for row in report["collections"]:
            table.add_row(
                *(str(row[name]) for name in ("collection", "expected", "found", "missing", "orphaned", "repaired"))
            )
        out.print(table)
        out.print("SQL and Milvus agree" if report["agrees"] else "SQL and Milvus differ")
        if not report["agrees"]:
            raise typer.Exit(1)

    with_client(url, run)


def _print(text: str) -> None:
    out.print(text, markup=False, highlight=False, soft_wrap=True)


def _warn(answer: dict[str, Any]) -> None:
    for item in answer["degraded"]:
        err.print(f"degraded: {item['component']} ({item['reason']})", markup=False)
