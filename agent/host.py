"""What this host says of itself: identity, memory, disk and process ids. Reads /proc, /sys and the file system.

Blocking but short; called from a thread. What cannot be read is left empty: no fact here is worth a failure.
"""

from __future__ import annotations

import os
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What does not change while the host runs."""

    hostname: str
    machine_id: str
    system_uuid: str
    boot_id: str


@dataclass(frozen=True, slots=True)
class Readings:
    """What changes. Bytes; -1 for what is not known."""

    memory_available: int = -1
    disk_total: int = -1
    disk_free: int = -1
    pids_used: int = -1
    pids_limit: int = -1


def facts() -> HostFacts:
    """The host's identity."""
    return HostFacts(
        hostname=socket.gethostname().lower(),
        machine_id=_text("/etc/machine-id") or _text("/var/lib/dbus/machine-id"),
        system_uuid=_text("/sys/class/dmi/id/product_uuid"),
        boot_id=_text("/proc/sys/kernel/random/boot_id"),
    )


def readings(data_root: str, fallback: Path) -> Readings:
    """Free memory, disk (of ``data_root``, or of ``fallback`` where that is on another machine) and process ids."""
    total = free = -1
    for path in (data_root, str(fallback)):
        if path and os.path.isdir(path):
            usage = shutil.disk_usage(path)
            total, free = usage.total, usage.free
            break
    limits = [int(text) for name in ("pid_max", "threads-max") if (text := _text(f"/proc/sys/kernel/{name}")).isdigit()]
    load = _text("/proc/loadavg").split()  # the fourth word is running/existing tasks
    used = load[3].partition("/")[2] if len(load) > 3 else ""
    return Readings(
        memory_available=_memory_available(),
        disk_total=total,
        disk_free=free,
        pids_used=int(used) if used.isdigit() else -1,
        pids_limit=min(limits) if limits else -1,
    )


def _memory_available() -> int:
    for line in _text("/proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return -1


def _text(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
