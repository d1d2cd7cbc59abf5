"""The floors of the house, as ARCHITECTURE.md draws them: imports go down, and each library has its room."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "advanced_rag"

FLOORS = [
    {"exceptions", "resources", "__init__"},
    {"models", "file_errors", "data_directory"},
    {"config"},
    {"environment"},
    {"telemetry"},
    {"auth", "text", "parsing", "encoders", "ranking", "resilience", "storage", "llm", "fetching"},
    {"services"},
    {"foundation"},
    {"indexing"},
    {"container"},
    {"opening"},
    {"api"},
    {"cli"},
]
ALONE = {"client"}  # imports nothing of the server
ROOMS = {
    "fastapi": ("api/",),
    "starlette": ("api/",),
    "slowapi": ("api/",),
    "uvicorn": ("api/server.py",),
    "sqlalchemy": ("storage/",),
    "alembic": ("storage/migrations.py",),
    "pymilvus": ("storage/vectors.py", "storage/collections.py"),
    "grpc": ("storage/vectors.py",),
    "openvino": ("encoders/",),
    "torch": ("encoders/",),
    "tokenizers": ("encoders/",),
    "sentence_transformers": ("encoders/", "ranking/rerank.py"),
    "openai": ("llm/",),
    "pypdfium2": ("parsing/pdf.py", "parsing/render.py"),
    "py3langid": ("text/diagnose.py",),
    "pptx": ("parsing/slides.py",),
    "mammoth": ("parsing/word.py",),
    "python_calamine": ("parsing/sheets.py",),
    "trafilatura": ("parsing/webpage.py",),
    "markdownify": ("parsing/",),
    "lxml": ("parsing/",),
    "charset_normalizer": ("parsing/encoding.py",),
    "olefile": ("parsing/",),
    "tesserocr": ("parsing/ocr.py",),
    "PIL": ("parsing/", "encoders/visual.py"),
    "prometheus_client": ("telemetry/metrics.py", "api/ops.py"),
    "structlog": ("telemetry/logs.py",),
    "opentelemetry": ("telemetry/tracing.py",),
    "pyinstrument": ("api/profiling.py",),
    "tenacity": ("resilience/guard.py",),
    "jwt": ("auth/",),
    "typer": ("cli/",),
}
FILES = sorted(PACKAGE.rglob("*.py"))


def imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def room(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def floor(name: str) -> int:
    (number,) = (number for number, names in enumerate(FLOORS) if name in names)
    return number


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(PACKAGE).as_posix())
def test_imports_stay_in_the_room_or_go_down(file):
    own = room(file)
    used = {name.split(".")[1] if "." in name else "__init__" for name in imports(file) if name.startswith("advanced_rag")}
    if own in ALONE:
        assert used <= ALONE
        return
    assert {other for other in used - {own} if other in ALONE} <= {"client"}
    wrong = {other for other in used - {own} - ALONE if floor(other) >= floor(own)}
    assert wrong == set()


@pytest.mark.parametrize("library", ROOMS)
def test_a_library_is_known_in_its_room_only(library):
    users = {
        file.relative_to(PACKAGE).as_posix()
        for file in FILES
        if any(name.split(".")[0] == library for name in imports(file))
    }
    assert {user for user in users if not user.startswith(ROOMS[library])} == set()


def test_no_file_is_longer_than_a_reader_likes():
    lengths = {str(file.relative_to(PACKAGE)): len(file.read_text(encoding="utf-8").splitlines()) for file in FILES}
    assert {name: length for name, length in lengths.items() if length > 400} == {}


def test_commands_that_call_a_running_service_load_none_of_its_parts():
    program = (
        "from advanced_rag.cli import ingest, documents, jobs, main, reindex; import sys;"
        " print(*{name.split('.')[0] for name in sys.modules})"
    )
    told = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60)
    assert {"torch", "pymilvus", "sqlalchemy", "fastapi", "openai"} & set(told.stdout.split()) == set()


ACROSS = {
    "JobRepository",  # work of every tenant, as a worker finds it
    "RetentionBook",  # what is due, by its age
    "GenerationRepository",  # the collections, shared by all
    "ReindexRepository",  # who fills them
    "TenantRepository",
    "KeyRing",  # whose key is this?
    "Register",  # who is this user?
    "UsageBook",
    "IdempotencyBook",
    "TicketBox",  # whose ticket is this?
}
REACHES_ACROSS = {
    "services/generations",  # of the index, shared by all
    "services/health",
    "services/housekeeping",  # sweeps for everybody
    "services/jobs",
    "services/keys",
    "services/quotas",
    "services/rebuild",
    "services/reindex",
    "services/retention",
    "services/sql",  # which offers it
    "services/tenants",
    "services/tickets",
    "services/users",
}


def test_what_reaches_across_tenants_is_known_by_name():
    across: set[str] = set()
    for file in (PACKAGE / "storage").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.args.args:
                across |= {_owner(file, node) for argument in node.args.args if _is_across(argument)}
    assert across - ACROSS == {"ping", "is_bypassed"}
    users = {
        file.relative_to(PACKAGE).with_suffix("").as_posix()
        for file in FILES
        if room(file) != "storage" and re.search(r"database\.(read|write)_across\b", file.read_text(encoding="utf-8"))
    }
    assert users == REACHES_ACROSS


def _is_across(argument: ast.arg) -> bool:
    return isinstance(argument.annotation, ast.Name) and argument.annotation.id == "Transaction"


def _owner(file: Path, function: ast.FunctionDef) -> str:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef) and any(
            isinstance(item, ast.FunctionDef) and item.lineno == function.lineno for item in node.body
        ):
            return node.name
    return function.name
