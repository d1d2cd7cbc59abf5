"""Evaluation sets in BEIR layout: corpus.jsonl, queries.jsonl, qrels.tsv."""

import csv
from dataclasses import dataclass
from pathlib import Path

import orjson


@dataclass(frozen=True, slots=True)
class Dataset:
    """Documents to ingest, queries that have judgments, and the judgments: query id → document id → gain."""

    name: str
    documents: list[dict[str, str]]
    queries: dict[str, str]
    judgments: dict[str, dict[str, int]]


def load(folder: Path) -> Dataset:
    """Read a set."""
    with (folder / "qrels.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    judgments: dict[str, dict[str, int]] = {}
    for row in rows:
        judgments.setdefault(row["query-id"], {})[row["corpus-id"]] = int(row["score"])
    queries = {row["id"]: row["text"] for row in _lines(folder / "queries.jsonl") if row["id"] in judgments}
    documents = [
        {"id": row["id"], "text": row["text"], **({"title": row["title"]} if row["title"] else {})}
        for row in _lines(folder / "corpus.jsonl")
        if row["text"].strip()
    ]
    return Dataset(folder.name, documents, queries, judgments)


def _lines(path: Path) -> list[dict[str, str]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]
