"""Files of a directory replaced all at once, so that a reader never sees half of an update.

The layout is the kubelet's (pkg/volume/util/atomic_writer.go), which programs that watch ConfigMaps rely on: the files
are in a directory ``..<unique>``, ``..data`` is a symlink to it that is swapped by rename, and each name in the volume
is a symlink through ``..data``. Blocking: call it in a thread. One writer per directory.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

DATA = "..data"


@dataclass(frozen=True, slots=True)
class File:
    """Content and permission bits of one file; ``group`` is whose it is beside the agent's user, None for the agent's
    own."""

    content: bytes
    mode: int
    group: int | None = None


Payload = Mapping[str, File]
"""Files by their path relative to the volume."""


def write_payload(directory: Path, payload: Payload) -> bool:
    """Make ``directory`` hold exactly ``payload``; whether anything changed. Raises OSError, ValueError."""
    for path in payload:
        parts = path.split("/")
        if path.startswith("/") or ".." in parts or parts[0].startswith("..") or not path:
            raise ValueError(f"invalid path {path!r} in a volume")
    directory.mkdir(parents=True, exist_ok=True, mode=0o755)
    current = _current(directory)
    if current is not None and _holds(current, payload):
        return False
    fresh = Path(tempfile.mkdtemp(prefix="..", dir=directory))
    fresh.chmod(0o755)
    for path, file in payload.items():
        target = fresh / path
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(file.content)
            if file.group is not None and os.geteuid() == 0:
                os.fchown(stream.fileno(), -1, file.group)
            os.fchmod(stream.fileno(), file.mode & 0o7777)  # not the mode of open: that is cut by the umask
    swap = directory / "..data_tmp"
    swap.unlink(missing_ok=True)
    swap.symlink_to(fresh.name)
    swap.replace(directory / DATA)
    _link(directory, {path.split("/", 1)[0] for path in payload})
    if current is not None:
        shutil.rmtree(current, ignore_errors=True)
    return True


def _current(directory: Path) -> Path | None:
    try:
        return directory / os.readlink(directory / DATA)
    except FileNotFoundError:
        return None


def _holds(current: Path, payload: Payload) -> bool:
    found = {str(path.relative_to(current)) for path in current.rglob("*") if path.is_file()}
    if found != set(payload):
        return False
    for path, file in payload.items():
        target = current / path
        if target.stat().st_mode & 0o7777 != file.mode & 0o7777 or target.read_bytes() != file.content:
            return False
    return True


def _link(directory: Path, names: set[str]) -> None:
    for entry in list(directory.iterdir()):
        if entry.name.startswith(".."):
            continue
        if entry.name not in names and entry.is_symlink():
            entry.unlink()
    for name in names:
        link = directory / name
        if not link.is_symlink():
            link.symlink_to(f"{DATA}/{name}")
