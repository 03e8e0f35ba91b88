"""NFS volumes, mounted by the agent for its pods. Blocking: call it in a thread.

It needs ``mount.nfs`` on the host (Debian: nfs-common). Where a server does not answer, the mount is given up in time
and tried again with the pod's back-off.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from agent.pods.volumes.base import VolumeFailure
from agent.pods.volumes.memory import mounts_below
from shared.api.pod import NFSVolumeSource

TIMEOUT = 20.0
"""Seconds."""


def mount_nfs(path: Path, source: NFSVolumeSource) -> None:
    """Have the server's directory at ``path``. Raises VolumeFailure with the words of mount, OSError."""
    path.mkdir(parents=True, exist_ok=True)
    if mounts_below(path):
        return
    options = "ro,nosuid,nodev" if source.read_only else "rw,nosuid,nodev"
    what = f"{source.server}:{source.path}"
    command = ["mount", "-t", "nfs", "-o", options, "--", what, str(path)]
    try:
        outcome = subprocess.run(command, capture_output=True, timeout=TIMEOUT, check=False)
    except subprocess.TimeoutExpired as error:
        raise VolumeFailure(f"mount failed: {what} does not answer within {TIMEOUT:g} s") from error
    if outcome.returncode:
        words = outcome.stderr.decode(errors="replace").strip()
        raise VolumeFailure(f"mount failed: exit status {outcome.returncode}: {words}")
