"""What a parsing process may use; set by the process on itself, before it sees a file."""

import ctypes
import os
import signal
import sys

if sys.platform != "win32":
    import resource

from advanced_rag.config import ParsingSettings

_MIB = 1_048_576
_OPEN_FILES = 64
_PR_SET_PDEATHSIG = 1
_NICENESS = 10


def confine(settings: ParsingSettings) -> None:
    """Limit memory and open files, forbid writing files, leave the processor to questions, and end with the service."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the service, which closes the pool
    if sys.platform == "linux":
        _die_with_parent()
    if sys.platform != "win32":
        os.nice(_NICENESS)
        _limit(resource.RLIMIT_AS, settings.memory_mb * _MIB)
        _limit(resource.RLIMIT_FSIZE, 0)
        _limit(resource.RLIMIT_CORE, 0)
        _limit(resource.RLIMIT_NOFILE, _OPEN_FILES)


def allow_cpu(seconds: int) -> None:
    """Let the process compute for some seconds from now on; after them, the kernel ends it."""
    if sys.platform != "win32":
        usage = resource.getrusage(resource.RUSAGE_SELF)
        used = int(usage.ru_utime + usage.ru_stime) + 1
        _limit(resource.RLIMIT_CPU, used + seconds)


def _limit(kind: int, value: int) -> None:
    hard = resource.getrlimit(kind)[1]
    allowed = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (allowed, hard))


def _die_with_parent() -> None:
    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before it could be noticed
        sys.exit(1)
