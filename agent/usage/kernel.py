"""CPU time and memory of control groups, of versions 1 and 2, and of the whole host. Reads files, keeps nothing.

A container's group is found by one of its processes, so that neither the engine's cgroup driver nor its parent group
matters. Working sets are the kubelet's: what is used less the file cache that the kernel would give up first
(cadvisor's container_memory_working_set_bytes).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
_PROC = Path("/proc")
_BUSY = slice(0, 8)
_IDLE = (3, 4)
"""Fields of the line ``cpu`` in /proc/stat: all but guests', which are counted in others; idle and iowait of them."""


@dataclass(frozen=True, slots=True)
class Reading:
    """``cpu`` is nanoseconds of CPU time so far, ``memory`` the working set in bytes."""

    cpu: int
    memory: int


@dataclass(frozen=True, slots=True)
class Group:
    """Where a container's numbers are. ``memory_stat`` names the line of the file cache."""

    cpu: Path
    memory: Path
    memory_stat: Path
    inactive: str
    pids: Path
    in_microseconds: bool = False

    def read(self) -> Reading:
        """Raises OSError when the container has gone."""
        text = self.cpu.read_text()
        spent = 1000 * _line(text, "usage_usec") if self.in_microseconds else int(text)
        used = int(self.memory.read_text())
        return Reading(spent, max(0, used - _line(self.memory_stat.read_text(), self.inactive)))

    def processes(self) -> int:
        """Raises OSError when the container has gone."""
        return int(self.pids.read_text())


def group_of(process_id: int, root: Path = ROOT, proc: Path = _PROC) -> Group:
    """The group of a process. Raises OSError when it has gone, or when it has no group that can be read."""
    paths: dict[str, str] = {}
    for line in (proc / str(process_id) / "cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            paths[controller] = path.lstrip("/")
    if "memory" in paths and "cpuacct" in paths:
        memory = root / "memory" / paths["memory"]
        cpu = root / "cpuacct" / paths["cpuacct"]
        found = Group(
            cpu / "cpuacct.usage", memory / "memory.usage_in_bytes", memory / "memory.stat", "total_inactive_file",
            root / "pids" / paths.get("pids", "") / "pids.current",
        )  # fmt: skip
    else:
        own = root / paths.get("", "")
        found = Group(
            own / "cpu.stat", own / "memory.current", own / "memory.stat", "inactive_file", own / "pids.current", True
        )
    if not found.memory.exists():
        raise FileNotFoundError(f"no memory group of process {process_id} at {found.memory}")
    return found


def host(proc: Path = _PROC) -> Reading:
    """The whole host, as the kubelet counts its root group. Raises OSError."""
    fields = [int(field) for field in (proc / "stat").read_text().split("\n", 1)[0].split()[1:]]
    ticks = sum(fields[_BUSY]) - sum(fields[index] for index in _IDLE)
    text = (proc / "meminfo").read_text()
    total, free, inactive = (1024 * _line(text, name) for name in ("MemTotal:", "MemFree:", "Inactive(file):"))
    return Reading(ticks * 1_000_000_000 // os.sysconf("SC_CLK_TCK"), max(0, total - free - inactive))


def _line(text: str, name: str) -> int:
    """The number after ``name`` at the beginning of a line; 0 where there is no such line."""
    for line in text.splitlines():
        if line.startswith(name):
            parts = line.split()
            if parts[0] == name:
                return int(parts[1])
    return 0
