"""What ships is whole."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
PROGRAMS = Path(sys.executable).parent


def test_the_wheel_carries_migrations_settings_and_examples_and_works_elsewhere(tmp_path):
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, ROOT]
    subprocess.run(build, check=True, capture_output=True, timeout=120)
    (wheel,) = tmp_path.glob("*.whl")
    installed = tmp_path / "installed"
    install = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", installed, wheel]
    subprocess.run(install, check=True, capture_output=True, timeout=120)
    environment = {**os.environ, "PYTHONPATH": str(installed), "RAG_DATA_DIR": str(tmp_path / "data")}
    program = (
        "import advanced_rag.cli, sys; print(advanced_rag.__file__); sys.argv[1:] = ['status']; advanced_rag.cli.main()"
    )
    answer = subprocess.run(
        [sys.executable, "-P", "-c", program],
        cwd=tmp_path,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert answer.stdout.startswith(str(installed))
    assert re.search(r"documents\s+│\s+20", answer.stdout)


def test_the_compose_file_fits_its_schema():
    check = [PROGRAMS / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", ROOT / "docker-compose.yml"]
    subprocess.run(check, check=True, capture_output=True, timeout=60)


def test_every_dependency_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = {re.split(r"[\[<>=; ]", item)[0] for item in project["dependencies"]}
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert wanted <= {line.split("==")[0] for line in lines if "==" in line}
