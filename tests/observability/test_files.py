"""Rules, receivers and dashboards: valid, documented, and about metrics that exist."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import orjson
import pytest
import yaml
from prometheus_client import Counter, Gauge, Histogram

from advanced_rag.telemetry import metrics

ROOT = Path(__file__).parent.parent.parent / "observability"
RULES = ROOT / "alerts" / "rag_alerts.yml"
DASHBOARDS = sorted((ROOT / "dashboards").glob("*.json"))
PROGRAMS = os.environ.get("RAG_TEST_PROMETHEUS", "")


def program(name: str) -> str:
    found = shutil.which(name, path=PROGRAMS or None)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def known_names() -> set[str]:
    names: set[str] = set()
    for item in vars(metrics).values():
        if isinstance(item, Counter | Gauge | Histogram):
            (described,) = item.describe()
            endings = {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_count", "_sum"]}[described.type]
            names |= {described.name + ending for ending in endings}
    return names


def rules() -> list[dict]:
    return [rule for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]]


def expressions(dashboard: Path) -> list[str]:
    return [target["expr"] for panel in orjson.loads(dashboard.read_bytes())["panels"] for target in panel["targets"]]


@pytest.mark.parametrize(
    "arguments", [["check", "rules", RULES], ["test", "rules", ROOT / "alerts" / "rag_alerts_test.yml"]]
)
def test_promtool_passes_the_rules(arguments):
    subprocess.run([program("promtool"), *arguments], check=True, capture_output=True, timeout=60)


def test_promtool_passes_the_configuration():
    subprocess.run(
        [program("promtool"), "check", "config", "--syntax-only", ROOT / "prometheus.yml"],
        check=True,
        capture_output=True,
        timeout=60,
    )


def test_amtool_passes_the_receivers():
    subprocess.run(
        [program("amtool"), "check-config", ROOT / "alertmanager.yml"], check=True, capture_output=True, timeout=60
    )


def test_every_alert_has_an_entry_in_the_runbook():
    headings = set(
        re.findall(r"^## (\S+)$", (ROOT.parent / "docs" / "RUNBOOK.md").read_text(encoding="utf-8"), re.MULTILINE)
    )
    for rule in rules():
        if "alert" in rule:
            assert rule["annotations"]["runbook"].removeprefix("docs/RUNBOOK.md#") in headings


def test_rules_and_dashboards_ask_for_metrics_that_exist():
    asked = [rule["expr"] for rule in rules()] + [expr for file in DASHBOARDS for expr in expressions(file)]
    found = {name for expr in asked for name in re.findall(r"\brag_[a-z_]+", expr)}
    assert found <= known_names()


def test_dashboards_have_ids_and_places_of_their_own():
    for file in DASHBOARDS:
        panels = orjson.loads(file.read_bytes())["panels"]
        assert len({panel["id"] for panel in panels}) == len(panels)
        assert len({(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}) == len(panels)


def test_everything_compose_mounts_is_there():
    compose = yaml.safe_load((ROOT.parent / "docker-compose.yml").read_text(encoding="utf-8"))
    volumes = [volume for service in compose["services"].values() for volume in service.get("volumes", [])]
    mounted = {volume.split(":")[0] for volume in volumes if volume.startswith("./")} - {"./observability/secrets"}
    assert {path for path in mounted if not (ROOT.parent / path).exists()} == set()


def test_the_pipelines_of_the_collector_are_made_of_parts_it_has():
    collector = yaml.safe_load((ROOT / "otel-collector.yml").read_text(encoding="utf-8"))
    for pipeline in collector["service"]["pipelines"].values():
        assert all(set(pipeline[kind]) <= set(collector[kind]) for kind in ("receivers", "processors", "exporters"))
