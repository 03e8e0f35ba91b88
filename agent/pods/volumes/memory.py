"""tmpfs on the host: where secrets and emptyDir volumes of medium Memory are, when the agent may mount.

Blocking: call it in a thread. Mounts are found in /proc/self/mountinfo, so nothing about them is remembered.
"""

from __future__ import annotations

import logging
import os
import subprocess
from pathlib import Path

logger = logging.getLogger(__name__)

TIMEOUT = 10.0
"""Seconds that mount and umount may take."""


def mount_memory(path: Path, size_bytes: int = 0, mode: int = 0o777) -> bool:
    """Have a tmpfs at ``path``; False where this process may not mount. ``size_bytes`` 0: the kernel's default."""
    path.mkdir(parents=True, exist_ok=True)
    if os.path.ismount(path):
        return True
    if os.geteuid() != 0:
        return False
    options = f"mode={mode:o},nosuid,nodev" + (f",size={size_bytes}" if size_bytes else "")
    command = ["mount", "-t", "tmpfs", "-o", options, "longboat", str(path)]
    outcome = subprocess.run(command, capture_output=True, timeout=TIMEOUT, check=False)
    if outcome.returncode:
        error = outcome.stderr.decode(errors="replace").strip()
        logger.warning("no tmpfs can be mounted, using the disk", extra={"path": str(path), "error": error})
    return outcome.returncode == 0


def unmount_below(path: Path) -> None:
    """Unmount everything at or below ``path``, the deepest first. Raises OSError when something stays mounted."""
    error = ""
    for mount in sorted(mounts_below(path), key=len, reverse=True):
        try:
            outcome = subprocess.run(["umount", mount], capture_output=True, timeout=TIMEOUT, check=False)
            error = outcome.stderr.decode(errors="replace").strip() or error
        except subprocess.TimeoutExpired:
            error = f"umount of {mount} does not end"
    if left := mounts_below(path):  # asked of the kernel: os.path.ismount knows nothing of a bind mount within one disk
        raise OSError(f"{left[0]} cannot be unmounted: {error}")


def mounts_below(path: Path) -> list[str]:
    """Mount points at or below ``path``."""
    root = str(path.resolve())
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = line.split(" ")[4].encode().decode("unicode_escape").encode("latin-1").decode(errors="surrogateescape")
        if point == root or point.startswith(root + "/"):
            found.append(point)
    return found
