"""What the figures were measured on, and what processes use."""

import os
import platform
from pathlib import Path

from advanced_rag.encoders.prepare import cpu_name

_TICKS = os.sysconf("SC_CLK_TCK")
_MIB = 1024


def describe() -> str:
    """Return one line about this machine."""
    memory_gib = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores of {cpu_name()}, {memory_gib:.0f} GiB, {platform.system()}, Python {platform.python_version()}"


def family(pid: int) -> list[int]:
    """Return a process and all its descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, pending = [], [pid]
    while pending:
        current = pending.pop()
        found.append(current)
        pending += children.get(current, [])
    return found


def cpu_seconds(pid: int) -> float:
    """Return the processor time a process and its descendants have used."""
    return sum((int(fields[11]) + int(fields[12])) / _TICKS for member in family(pid) if (fields := _stat(member)))


def memory_mib(pid: int, field: str) -> float:
    """Return VmRSS or VmHWM, its peak, of a process and its descendants together."""
    return sum(_status(member, field) for member in family(pid)) / _MIB


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return []


def _status(pid: int, field: str) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(field)), 0)
