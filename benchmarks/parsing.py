"""Reading files: python -m benchmarks.parsing FOLDER.

A folder with MANIFEST.tsv (columns ``file`` and ``kind``) is read whole, each file in a limited process, and told by kind.
A folder with pdfs/ and corpus.jsonl (``id`` is NAME#pN, N from 0) is read by one process, and each page is compared with the
corpus: it agrees when 98 % of the words do.
"""

import asyncio
import csv
import json
import re
import resource
import sys
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from advanced_rag.config import ParsingSettings
from advanced_rag.file_errors import FileError
from advanced_rag.models.parsed import Parsed
from advanced_rag.parsing.pool import ParserPool

AGREES = 0.98
_WORD = re.compile(r"\w+")


@dataclass(slots=True)
class Tally:
    """What became of the files of one kind."""

    seconds: float = 0.0
    slowest: float = 0.0
    kinds: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)


async def read_folder(folder: Path) -> dict[str, Tally]:
    """Read every file of the manifest, one after the other."""
    tallies: defaultdict[str, Tally] = defaultdict(Tally)
    pool = ParserPool(ParsingSettings())
    for row in csv.DictReader((folder / "MANIFEST.tsv").read_text(encoding="utf-8").splitlines(), delimiter="\t"):
        tally = tallies[row["kind"]]
        started = time.perf_counter()
        try:
            tally.kinds[(await pool.parse(folder / row["file"], row["file"])).kind] += 1
        except FileError as error:
            tally.codes[error.code] += 1
        seconds = time.perf_counter() - started
        tally.seconds, tally.slowest = tally.seconds + seconds, max(tally.slowest, seconds)
    await pool.close()
    return dict(tallies)


def print_tallies(tallies: dict[str, Tally]) -> None:
    print("| kind | files | read, as | refused | seconds | slowest |\n|---|---|---|---|---|---|")
    for kind, tally in tallies.items():
        files = tally.kinds.total() + tally.codes.total()
        print(
            f"| {kind} | {files} | {_told(tally.kinds)} | {_told(tally.codes)} | {tally.seconds:.2f} | {tally.slowest:.2f} |"
        )


async def read_pages(folder: Path) -> None:
    """Read PDFs with one process, and print how fast that was and how many pages agree with the corpus."""
    lines = (folder / "corpus.jsonl").read_text(encoding="utf-8").splitlines()
    corpus = {item["id"]: item["text"] for item in map(json.loads, lines)}
    pool = ParserPool(ParsingSettings(processes=1))
    print("| file | pages | agreeing | pages/s |\n|---|---|---|---|")
    for path in sorted((folder / "pdfs").glob("*.pdf")):
        started = time.perf_counter()
        parsed = await pool.parse(path, path.name)
        seconds = time.perf_counter() - started
        pages = [(corpus.get(f"{path.stem}#p{number}"), text) for number, text in enumerate(_pages(parsed))]
        agreeing = sum(_agree(expected, text) for expected, text in pages if expected is not None)
        print(f"| {path.stem} | {len(pages)} | {agreeing} | {len(pages) / seconds:.0f} |")
    await pool.close()


def _pages(parsed: Parsed) -> list[str]:
    bounds = [*(page.start for page in parsed.pages), len(parsed.text)]
    return [parsed.text[start:end] for start, end in pairwise(bounds)]


def _agree(expected: str, found: str) -> bool:
    one, other = (Counter(_WORD.findall(text.lower())) for text in (expected, found))
    return (one & other).total() >= AGREES * max(one.total(), other.total())


def _told(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.most_common()) or "-"


def main(folder: Path) -> None:
    if (folder / "MANIFEST.tsv").exists():
        print_tallies(asyncio.run(read_folder(folder)))
    if (folder / "corpus.jsonl").exists():
        asyncio.run(read_pages(folder))
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    print(f"\nlargest process: {peak} MB resident")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
