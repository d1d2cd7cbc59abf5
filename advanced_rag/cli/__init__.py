"""The command line."""

from advanced_rag.cli.main import cli, main

__all__ = ["cli", "main"]
