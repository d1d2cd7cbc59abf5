"""A long steady crowd: memory and open files of the service must stay what they were once it was warm."""

import statistics
import subprocess
import time
from dataclasses import dataclass, field

import psutil

EVERY_S = 5
LARGEST_GROWTH = 0.02
_SAMPLES = 24  # at each end of the run: two minutes


@dataclass(slots=True)
class Footprint:
    """Resident memory in MiB and open files of a process and its children, sampled."""

    memory_mib: list[float] = field(default_factory=list)
    files: list[int] = field(default_factory=list)

    def take(self, process: psutil.Process) -> None:
        family = [process, *process.children(recursive=True)]
        self.memory_mib.append(sum(member.memory_info().rss for member in family) / 2**20)
        self.files.append(sum(member.num_fds() for member in family))

    def growth(self) -> float:
        """Return by what share the memory of the last minutes exceeds that of the first."""
        first, last = self.memory_mib[:_SAMPLES], self.memory_mib[-_SAMPLES:]
        return statistics.median(last) / statistics.median(first) - 1

    def more_files(self) -> float:
        """Return how many more files are open at the end."""
        return statistics.median(self.files[-_SAMPLES:]) - statistics.median(self.files[:_SAMPLES])


def watch(pid: int, users: "subprocess.Popen[bytes]", *, warm_up_s: float) -> bool:
    """Sample the service while the users work; tell what came out, and whether it is as it should be."""
    process, found = psutil.Process(pid), Footprint()
    time.sleep(warm_up_s)
    while users.poll() is None:
        found.take(process)
        time.sleep(EVERY_S)
    memory = found.memory_mib
    print(f"memory {memory[0]:.0f} -> {memory[-1]:.0f} MiB: {found.growth():+.1%}; open files {found.more_files():+.0f}")
    return users.returncode == 0 and found.growth() < LARGEST_GROWTH and found.more_files() <= 0
