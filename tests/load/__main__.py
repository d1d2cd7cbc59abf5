"""Start a service with the example documents, and send it the users of locustfile.py: a steady crowd, then a spike."""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.service import running

LOCUST = Path(sys.executable).with_name("locust")
USERS = Path(__file__).with_name("locustfile.py")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.load", description=__doc__)
    parser.add_argument("--users", type=int, default=20, help="users of the steady crowd")
    parser.add_argument("--spike", type=int, default=60, help="users of the spike")
    parser.add_argument("--seconds", type=int, default=60, help="length of each")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), RAG_EXAMPLES__INGEST="true") as service:
        statuses = [
            _send(service.url, users=options.users, per_second=2, seconds=options.seconds),
            _send(service.url, users=options.spike, per_second=60, seconds=options.seconds),
        ]
    sys.exit(max(statuses))


def _send(url: str, *, users: int, per_second: int, seconds: int) -> int:
    print(f"--- {users} users, {per_second} more each second, for {seconds} s")
    limits = ["--users", users, "--spawn-rate", per_second, "--run-time", f"{seconds}s"]
    command = [LOCUST, "--locustfile", USERS, "--headless", "--only-summary", "--host", url, *limits]
    return subprocess.run([str(part) for part in command], env=os.environ, check=False).returncode


if __name__ == "__main__":
    main()
