"""Parsing in the test's own process, where the test made the file."""

from collections.abc import Callable

import pytest

from advanced_rag.config import ParsingSettings
from advanced_rag.file_errors import FileError
from advanced_rag.models.parsed import Parsed
from advanced_rag.parsing.draft import Source
from advanced_rag.parsing.parse import parse

Parse = Callable[..., Parsed]
Refusal = Callable[..., str]


@pytest.fixture
def parsed() -> Parse:
    def run(data: bytes, name: str, **settings: object) -> Parsed:
        return parse(Source(name, data), ParsingSettings.model_validate(settings))

    return run


@pytest.fixture
def refusal() -> Refusal:
    """The code with which a file is refused."""

    def run(data: bytes, name: str, **settings: object) -> str:
        with pytest.raises(FileError) as raised:
            parse(Source(name, data), ParsingSettings.model_validate(settings))
        assert raised.value.message == raised.value.text
        return raised.value.code

    return run
