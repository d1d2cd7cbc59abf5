"""Start a service with the example documents, and send it the users of locustfile.py: a crowd, then a spike; or a soak."""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.load.soak import watch
from tests.support.service import running

LOCUST = Path(sys.executable).with_name("locust")
WARM_UP_S = 240
USERS = Path(__file__).with_name("locustfile.py")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.load", description=__doc__)
    parser.add_argument("--users", type=int, default=20, help="users of the steady crowd")
    parser.add_argument("--spike", type=int, default=60, help="users of the spike")
    parser.add_argument("--seconds", type=int, default=60, help="length of each")
    parser.add_argument("--soak", type=int, metavar="SECONDS", help="instead, one steady crowd for so long after a warm-up")
    options = parser.parse_args()
    sys.exit(_soak(options.users, options.soak) if options.soak else _crowd_and_spike(options))


def _crowd_and_spike(options: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), RAG_EXAMPLES__INGEST="true") as service:
        waves = [(options.users, 2), (options.spike, 60)]
        return max(_send(service.url, users, per_second, options.seconds).wait() for users, per_second in waves)


def _soak(users: int, seconds: int) -> int:
    # A small cache, so that it is full once the service is warm: what is bounded may fill up to its bound.
    settings = {"RAG_EXAMPLES__INGEST": "true", "RAG_ENCODER__CACHE_ENTRIES": "1000"}
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), **settings) as service:
        crowd = _send(service.url, users, 2, WARM_UP_S + seconds)
        return 0 if watch(service.process.pid, crowd, warm_up_s=WARM_UP_S) else 1


def _send(url: str, users: int, per_second: int, seconds: int) -> "subprocess.Popen[bytes]":
    print(f"--- {users} users, {per_second} more each second, for {seconds} s", flush=True)
    limits = ["--users", users, "--spawn-rate", per_second, "--run-time", f"{seconds}s"]
    command = [LOCUST, "--locustfile", USERS, "--headless", "--only-summary", "--host", url, *limits]
    return subprocess.Popen([str(part) for part in command], env=os.environ)


if __name__ == "__main__":
    main()
