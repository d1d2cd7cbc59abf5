"""The process that reads files: ``python -m advanced_rag.parsing.child``.

It takes its settings and then one request after the other as lines of JSON on standard input, and answers each with a line:
the parsed document, a page that was drawn, or the code of an error. JSON and not pickle, because a file that takes over this
process must not get at the service by what the service unpacks.
"""

import base64
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from advanced_rag.config import ParsingSettings
from advanced_rag.file_errors import FileError, ParserOutOfMemoryError
from advanced_rag.parsing.draft import Source
from advanced_rag.parsing.limits import allow_cpu, confine
from advanced_rag.parsing.parse import parse


def main() -> None:
    """Answer requests until standard input ends; whatever is not foreseen ends the process, and is a crash."""
    requests, answers = sys.stdin.buffer, _taken_stdout()
    settings = ParsingSettings.model_validate_json(requests.readline())
    confine(settings)
    for line in requests:
        allow_cpu(settings.cpu_s)
        answers.write(orjson.dumps(_answer(orjson.loads(line), settings)) + b"\n")
        answers.flush()


def _answer(request: dict[str, Any], settings: ParsingSettings) -> dict[str, Any]:
    path = Path(request["path"])
    try:
        if "page" in request:
            return {"jpeg": base64.b64encode(_drawn(path, request)).decode("ascii")}
        return {"parsed": parse(Source(request["name"], path.read_bytes()), settings, request["depth"])}
    except FileError as error:
        return {"error": error.code}
    except MemoryError:
        return {"error": ParserOutOfMemoryError.code}


def _drawn(path: Path, request: dict[str, Any]) -> bytes:
    render = import_module("advanced_rag.parsing.render")  # loaded where it is needed, like the parsers
    draw = render.render_image if request["media_type"].startswith("image/") else render.render_page
    drawn: bytes = draw(path, request["page"], request["longest_side_px"])
    return drawn


def _taken_stdout() -> BinaryIO:
    """Return standard output for answers alone: what libraries print goes nowhere."""
    answers = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    return answers


if __name__ == "__main__":
    main()
