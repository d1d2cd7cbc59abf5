"""Documents say what the code does."""

import re
from pathlib import Path

from prometheus_client import Counter, Gauge, Histogram

from advanced_rag import exceptions, file_errors
from advanced_rag.api.app import create_app
from advanced_rag.cli.main import COMMANDS
from advanced_rag.config import Settings
from advanced_rag.environment import load_settings
from advanced_rag.telemetry import metrics

ROOT = Path(__file__).parent.parent


def test_every_error_code_is_documented():
    text = (ROOT / "docs" / "ERRORS.md").read_text(encoding="utf-8")
    classes = [item for module in (exceptions, file_errors) for item in vars(module).values() if hasattr(item, "code")]
    missing = {item.code for item in classes if isinstance(item.code, str) and f"`{item.code}`" not in text}
    assert missing == set()


def test_the_shipped_settings_are_the_defaults(monkeypatch):
    monkeypatch.setenv("RAG_CONFIG", str(ROOT / "config.yaml"))
    assert load_settings().model_dump() == Settings().model_dump()


def test_the_metrics_are_documented_each_with_its_labels():
    text = (ROOT / "docs" / "METRICS.md").read_text(encoding="utf-8")
    documented = {
        tuple(cell.strip() for cell in line.split("|")[1:5]) for line in text.splitlines() if line.startswith("| `rag_")
    }
    assert documented == {_row(item) for item in vars(metrics).values() if isinstance(item, Counter | Gauge | Histogram)}


def _row(metric: Counter | Gauge | Histogram) -> tuple[str, ...]:
    described = metric.describe()[0]
    name = f"{described.name}_total" if described.type == "counter" else described.name
    labels = ", ".join(f"`{label}`" for label in metric._labelnames) or "none"
    return f"`{name}`", described.type, labels, described.documentation


def test_every_command_the_readme_shows_exists():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"^    make ([a-z]+)", text, re.MULTILINE)):
        assert f"\n{target}:" in makefile
    assert set(re.findall(r"advanced-rag ([a-z]+)", text)) <= set(COMMANDS)


def test_every_route_tells_which_errors_it_answers_with():
    paths = create_app(Settings()).openapi()["paths"]
    routes = {(method, path): set(item["responses"]) for path, methods in paths.items() for method, item in methods.items()}
    assert {route for route, codes in routes.items() if "/v1/" in route[1] and not {"422", "503"} <= codes} == set()


def test_every_line_of_the_security_checklist_names_tests_that_exist():
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    tests = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "tests").rglob("test_*.py"))
    assert {name for name in re.findall(r"`(test_\w+)`", text) if f"def {name}(" not in tests} == set()
