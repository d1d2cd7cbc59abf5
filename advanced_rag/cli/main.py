"""The command line: serve, migrate, identities, and everything the API does, here or at a running service."""

import sys

import httpx2
import typer

from advanced_rag.cli.lazy import lazy
from advanced_rag.cli.terminal import err
from advanced_rag.client import ApiError
from advanced_rag.exceptions import RagError

COMMANDS = {
    "ingest": "advanced_rag.cli.ingest:ingest",
    "search": "advanced_rag.cli.documents:search",
    "ask": "advanced_rag.cli.documents:ask",
    "status": "advanced_rag.cli.documents:status",
    "jobs": "advanced_rag.cli.jobs:jobs",
    "verify": "advanced_rag.cli.documents:verify",
    "reindex": "advanced_rag.cli.reindex:reindex",
    "backup": "advanced_rag.cli.backup:backup",
    "restore": "advanced_rag.cli.backup:restore",
    "tenants": "advanced_rag.cli.identities:tenants",
    "keys": "advanced_rag.cli.identities:keys",
    "audit": "advanced_rag.cli.audit:audit",
    "serve": "advanced_rag.cli.serve:serve",
    "worker": "advanced_rag.cli.worker:worker",
    "migrate": "advanced_rag.cli.serve:migrate",
    "version": "advanced_rag.cli.serve:version",
}

cli = typer.Typer(
    cls=lazy(COMMANDS), no_args_is_help=True, add_completion=False, help="Retrieval and chat over your own documents."
)


@cli.callback()
def _group() -> None:
    """Say that there are commands: typer takes a program without any for a command itself."""


def main() -> None:
    """Run the command line; an expected failure is one line and exit status 1."""
    try:
        cli()
    except RagError as error:
        err.print(f"advanced-rag: {error.message}", markup=False, highlight=False)
        sys.exit(1)
    except ApiError as error:
        err.print(f"advanced-rag: {error}", markup=False, highlight=False)
        sys.exit(1)
    except httpx2.TransportError:
        err.print("advanced-rag: the service does not answer", markup=False, highlight=False)
        sys.exit(1)
