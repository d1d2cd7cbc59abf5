"""RESULTS.md, section by section: each benchmark writes its own and leaves the others as they are."""

import re
from collections.abc import Sequence
from pathlib import Path

RESULTS = Path(__file__).with_name("RESULTS.md")


def put_section(title: str, text: str) -> None:
    """Write one section; at the end when there is none of that title."""
    heading, *sections = _parts()
    fresh = f"## {title}\n\n{text}"
    if any(_title(part) == title for part in sections):
        _write([heading, *(fresh if _title(part) == title else part for part in sections)])
    else:
        _write([heading, *sections, fresh])


def put_report(parts: Sequence[str]) -> None:
    """Write the heading and the sections of one benchmark; those of others follow."""
    titles = {_title(part) for part in parts}
    _write([*parts, *(part for part in _parts() if _title(part) not in titles)])


def _title(part: str) -> str:
    return part.partition("\n")[0].removeprefix("## ")


def _parts() -> list[str]:
    return [part.strip() for part in re.split(r"^(?=## )", RESULTS.read_text(encoding="utf-8"), flags=re.MULTILINE)]


def _write(parts: Sequence[str]) -> None:
    RESULTS.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
