"""Where settings come from: config.yaml, overridden by environment variables ``RAG_SECTION__KEY``.

An unknown key or a bad value stops start-up with the key's name. Secrets come from the environment alone.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, ValidationError

from advanced_rag.config import ENV_PREFIX, Settings
from advanced_rag.exceptions import StartupError
from advanced_rag.resources import resource

ENV_CONFIG_FILE = "RAG_CONFIG"
_NOT_SETTINGS = ("RAG_CONFIG", "RAG_TEST_")
_SECRETS = ("milvus.token", "auth.secret", "auth.jwt.secret", "database.url", "redis.url")


def load_settings(**overrides: Any) -> Settings:
    """Load the settings from YAML, the environment and ``overrides``.

    The file is the one named by ``RAG_CONFIG``, else ``config.yaml`` in the working directory, else the shipped one.
    Raises StartupError naming every key that is wrong, never its value.
    """
    path = _config_file()
    _refuse_secrets(_read_yaml(path), path)
    _refuse_unknown_variables()
    chosen = type("Settings", (Settings,), {"yaml_path": path})
    try:
        settings: Settings = chosen(**overrides)
    except ValidationError as error:
        raise StartupError("; ".join(_complaints(error))) from None
    _refuse_open_network(settings)
    return settings


def _config_file() -> Path:
    named = os.environ.get(ENV_CONFIG_FILE)
    if named is not None:
        if not Path(named).is_file():
            raise StartupError(f"{ENV_CONFIG_FILE} names a file that does not exist: {named}")
        return Path(named)
    local = Path("config.yaml")
    return local if local.is_file() else resource("config.yaml")


def _read_yaml(path: Path) -> Mapping[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise StartupError(f"{path} cannot be read as YAML ({type(error).__name__})") from None
    if not isinstance(content, Mapping):
        raise StartupError(f"{path} is not a mapping of settings")
    return content


def _refuse_secrets(content: Mapping[str, Any], path: Path) -> None:
    for key in _SECRETS:
        value: Any = content
        for part in key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        if value is not None and (not key.endswith(".url") or urlsplit(str(value)).password):
            variable = ENV_PREFIX + key.replace(".", "__").upper()
            raise StartupError(f"{key} in {path} holds a secret: set {variable} instead")


def _refuse_unknown_variables() -> None:
    for variable in os.environ:
        if not variable.startswith(ENV_PREFIX) or variable.startswith(_NOT_SETTINGS):
            continue
        keys = variable.removeprefix(ENV_PREFIX).lower().split("__")
        if not _is_setting(Settings, keys):
            raise StartupError(f"{variable} is not a setting")


def _is_setting(model: type[BaseModel], keys: list[str]) -> bool:
    field = model.model_fields.get(keys[0])
    if field is None:
        return False
    inner = field.annotation
    if len(keys) == 1 or not (isinstance(inner, type) and issubclass(inner, BaseModel)):
        return len(keys) == 1 or keys[0] == "domains"
    return _is_setting(inner, keys[1:])


def _complaints(error: ValidationError) -> Iterator[str]:
    for problem in error.errors(include_input=False, include_url=False):
        key = ".".join(str(part) for part in problem["loc"])
        yield f"{key}: {'unknown key' if problem['type'] == 'extra_forbidden' else problem['msg']}"


def _refuse_open_network(settings: Settings) -> None:
    if settings.is_open and not settings.server.allow_open_network:
        raise StartupError(
            "server.host: auth.mode is disabled and the service would be open to the network; bind 127.0.0.1, "
            "set auth.mode to required, or server.allow_open_network to true behind a proxy that authenticates"
        )
