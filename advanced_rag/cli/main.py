"""The command line: serve, migrate, identities, and everything the API does, here or at a running service."""

import sys

import httpx2
import typer

from advanced_rag import __version__
from advanced_rag.api.app import create_app
from advanced_rag.api.server import BACKLOG, Server, bind
from advanced_rag.cli import audit, backup, documents, identities, ingest, jobs, reindex, worker
from advanced_rag.cli.terminal import announce, err, opened, out, run_to_end
from advanced_rag.client import ApiError
from advanced_rag.config import Settings
from advanced_rag.environment import load_settings
from advanced_rag.exceptions import RagError
from advanced_rag.opening import LOCK_FILE, keep_what_is_loaded
from advanced_rag.storage.database import open_engine
from advanced_rag.storage.migrations import migrate as migrate_schema
from advanced_rag.telemetry.logs import logging_to_stderr
from advanced_rag.telemetry.tracing import tracing

cli = typer.Typer(no_args_is_help=True, add_completion=False, help="Retrieval and chat over your own documents.")
for command in (ingest.ingest, documents.search, documents.ask, documents.status, documents.verify):
    cli.command()(command)
cli.command()(backup.backup)
cli.command()(backup.restore)
cli.command()(worker.worker)
cli.add_typer(jobs.jobs, name="jobs")
cli.add_typer(identities.tenants, name="tenants")
cli.add_typer(identities.keys, name="keys")
cli.add_typer(audit.audit, name="audit")
cli.add_typer(reindex.reindex, name="reindex")


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


@cli.command()
def serve() -> None:
    """Start the service; Ctrl-C ends it."""
    settings = load_settings()
    run_to_end(_serve(settings))


async def _serve(settings: Settings) -> None:
    with (
        bind(settings.server.host, settings.server.port) as listener,
        logging_to_stderr(settings.logging),
        tracing(settings.tracing),
    ):
        async with opened(settings, waits=True) as opening:
            server = Server(create_app(settings, opening), settings.server, on_exit=opening.drain)
            keep_what_is_loaded()
            listener.listen(BACKLOG)
            host, port = listener.getsockname()[:2]
            _write_address(settings, f"http://{host}:{port}")
            announce(f"serving on http://{host}:{port} (Ctrl-C to stop)")
            await server.serve(sockets=[listener])


def _write_address(settings: Settings, url: str) -> None:
    (settings.data_dir / LOCK_FILE).write_text(url, encoding="utf-8")


@cli.command()
def migrate() -> None:
    """Bring the database schema up to this version."""
    settings = load_settings()
    engine = open_engine(settings.database_url, settings.database)
    before, after = migrate_schema(engine)
    engine.dispose()
    out.print(f"schema {after} (was {before or 'empty'})" if before != after else f"schema {after}, nothing to do")


@cli.command()
def version() -> None:
    """Print the version."""
    out.print(__version__)
