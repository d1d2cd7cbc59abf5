"""The service itself, and the schema it needs."""

from advanced_rag import __version__
from advanced_rag.api.app import create_app
from advanced_rag.api.server import BACKLOG, Server, bind
from advanced_rag.cli.here import opened
from advanced_rag.cli.terminal import announce, out, run_to_end
from advanced_rag.config import Settings
from advanced_rag.data_directory import tell_address
from advanced_rag.environment import load_settings
from advanced_rag.opening import keep_what_is_loaded
from advanced_rag.storage.database import open_engine
from advanced_rag.storage.migrations import migrate as migrate_schema
from advanced_rag.telemetry.logs import logging_to_stderr
from advanced_rag.telemetry.tracing import tracing


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
            tell_address(settings.data_dir, f"http://{host}:{port}")
            announce(f"serving on http://{host}:{port} (Ctrl-C to stop)")
            await server.serve(sockets=[listener])


def migrate() -> None:
    """Bring the database schema up to this version."""
    settings = load_settings()
    engine = open_engine(settings.database_url, settings.database)
    before, after = migrate_schema(engine)
    engine.dispose()
    out.print(f"schema {after} (was {before or 'empty'})" if before != after else f"schema {after}, nothing to do")


def version() -> None:
    """Print the version."""
    out.print(__version__)
