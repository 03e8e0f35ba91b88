"""Whose a volume's folders are in a pod that has an fsGroup, as pkg/volume/volume_linux.go makes them. Blocking.

The folders are the group's and have setgid, so that files made in them are the group's too. A pod's own volumes are
all new to it, hence fsGroupChangePolicy makes no difference to them. Where the agent is not root they stay as they are.
"""

from __future__ import annotations

import os
from pathlib import Path

_WRITABLE, _READ_ONLY = 0o2770, 0o2550


def give_folder(path: Path, group: int | None) -> None:
    """A folder that the pod writes to. Raises OSError."""
    _give(path, group, _WRITABLE)


def give_payload(path: Path, group: int | None) -> None:
    """A folder of files that the pod only reads, with those below it. Raises OSError."""
    if group is None:
        return
    _give(path, group, _READ_ONLY)
    for folder, names, _ in os.walk(path):
        for name in names:
            below = Path(folder, name)
            if not below.is_symlink():
                _give(below, group, _READ_ONLY)


def _give(path: Path, group: int | None, bits: int) -> None:
    if group is None or os.geteuid() != 0:
        return
    found = path.stat()
    if found.st_gid != group:
        os.chown(path, -1, group)
    if found.st_mode & bits != bits or found.st_gid != group:
        path.chmod(found.st_mode & 0o7777 | bits)  # after chown, which takes setgid away
