"""What this host says of itself: identity, memory, disk and process ids. Reads /proc, /sys and the file system.

Blocking but short; called from a thread. What cannot be read is left empty: no fact here is worth a failure.
"""

from __future__ import annotations

import os
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
class FileSystem:
    """Bytes, and files that there may be; -1 for what is not known. ``free`` is what others than root may have."""

    total: int = -1
    free: int = -1
    inodes: int = -1
    inodes_free: int = -1


@dataclass(frozen=True, slots=True)
class Readings:
    """What changes. Bytes; -1 for what is not known. ``imagefs`` holds the engine's data (images, containers and their
    logs), ``nodefs`` the agent's."""

    memory_total: int = -1
    memory_available: int = -1
    nodefs: FileSystem = FileSystem()
    imagefs: FileSystem = FileSystem()
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


def readings(data_root: str, data_dir: Path) -> Readings:
    """Free memory, disks (of the engine's ``data_root`` where that is on this machine, and of the agent's ``data_dir``)
    and process ids."""
    nodefs = file_system(str(data_dir))
    imagefs = file_system(data_root) if data_root else FileSystem()
    limits = [int(text) for name in ("pid_max", "threads-max") if (text := _text(f"/proc/sys/kernel/{name}")).isdigit()]
    load = _text("/proc/loadavg").split()  # the fourth word is running/existing tasks
    used = load[3].partition("/")[2] if len(load) > 3 else ""
    return Readings(
        memory_total=_memory("MemTotal:"),
        memory_available=_memory("MemAvailable:"),
        nodefs=nodefs,
        imagefs=imagefs if imagefs.total >= 0 else nodefs,
        pids_used=int(used) if used.isdigit() else -1,
        pids_limit=min(limits) if limits else -1,
    )


def file_system(path: str) -> FileSystem:
    """The file system of a directory; all -1 where there is none."""
    try:
        found = os.statvfs(path)
    except OSError:
        return FileSystem()
    block = found.f_frsize
    return FileSystem(found.f_blocks * block, found.f_bavail * block, found.f_files, found.f_favail)


def _memory(name: str) -> int:
    for line in _text("/proc/meminfo").splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    return -1


def _text(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
