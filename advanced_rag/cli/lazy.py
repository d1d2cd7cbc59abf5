"""Commands that are imported when they are asked for: most call a running service, whose parts take seconds to load."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from typer import Typer
from typer.core import TyperGroup
from typer.main import get_command, get_group


def lazy(commands: Mapping[str, str]) -> type[TyperGroup]:
    """Return a group of commands, each given by its name and the ``module:attribute`` it stands in."""

    class Lazy(TyperGroup):
        def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - click's signature
            return list(commands)

        def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
            return _load(cmd_name, commands[cmd_name]) if cmd_name in commands else None

    return Lazy


def _load(name: str, place: str) -> Any:  # click's classes are private to typer
    module, attribute = place.split(":")
    found: Typer | Callable[..., None] = getattr(import_module(module), attribute)
    if isinstance(found, Typer):
        group = get_group(found)
        group.name = name
        return group
    alone = Typer(add_completion=False)
    alone.command(name)(found)
    return get_command(alone)
