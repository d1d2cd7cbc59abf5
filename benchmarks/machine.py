"""What the figures were measured on, and what processes use."""

import os
import platform
from pathlib import Path

import psutil

from advanced_rag.encoders.prepare import cpu_name

_MIB = 1024


def describe() -> str:
    """Return one line about this machine."""
    memory_gib = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores of {cpu_name()}, {memory_gib:.0f} GiB, {platform.system()}, Python {platform.python_version()}"


def cpu_seconds(pid: int) -> float:
    """Return the processor time a process and its descendants have used."""
    return sum(sum(member.cpu_times()[:2]) for member in _family(pid))


def memory_mib(pid: int, field: str) -> float:
    """Return VmRSS or VmHWM, its peak, of a process and its descendants together."""
    return sum(_status(member.pid, field) for member in _family(pid)) / _MIB


def _family(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def _status(pid: int, field: str) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(field)), 0)
