"""A part of a volume, mounted by itself (subPath): found without ever being led out of the volume.

A container may write to the volume while the agent looks at it, and put a symlink where a folder was. So the path is
walked once, element by element, without following any, and what that arrives at is held by descriptor and bound to a
place of the agent's, which is what the container gets (as pkg/volume/util/subpath; CVE-2017-1002101). Blocking.
"""

from __future__ import annotations

import ctypes
import os
import stat
from pathlib import Path

_BIND, _DETACH = 0x1000, 2
_libc = ctypes.CDLL(None, use_errno=True)


def bind_sub_path(root: Path, relative: str, place: Path) -> Path:
    """Where ``relative`` of the volume ``root`` is to be mounted from: ``place``, or where this process may not mount,
    the path itself. Missing folders are made, with the rights of the volume's own.

    Raises ValueError when it leads out of the volume; OSError.
    """
    descriptor, path = open_beneath(root, relative)
    try:
        if os.geteuid() != 0:
            return path
        found = os.fstat(descriptor)
        if _is_bound(place, found):
            return place
        _prepare(place, stat.S_ISDIR(found.st_mode))
        _check(_libc.mount(f"/proc/self/fd/{descriptor}".encode(), os.fsencode(place), None, _BIND, None), place)
        return place
    finally:
        os.close(descriptor)


def open_beneath(root: Path, relative: str) -> tuple[int, Path]:
    """A descriptor (O_PATH) of what ``relative`` is in ``root``, and its path. Raises ValueError, OSError."""
    if relative.startswith("/") or ".." in Path(relative).parts:
        raise ValueError(f'subPath "{relative}" must stay within the volume')
    base = root.resolve(strict=True)
    path = (base / relative).resolve()  # symlinks within the volume are followed here, and nowhere below
    if path != base and base not in path.parents:
        raise ValueError(f'subPath "{relative}" leads out of the volume')
    mode = stat.S_IMODE(base.stat().st_mode)
    current = os.open(base, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        for part in path.relative_to(base).parts:
            below = _enter(current, part, mode)
            os.close(current)
            current = below
    except BaseException:
        os.close(current)
        raise
    return current, path


def _enter(folder: int, name: str, mode: int) -> int:
    try:
        found = os.open(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=folder)
    except FileNotFoundError:
        os.mkdir(name, 0o700, dir_fd=folder)
        found = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY, dir_fd=folder)
        os.chmod(f"/proc/self/fd/{found}", mode)  # not the mode of mkdir: that is cut by the umask
    if stat.S_ISLNK(os.fstat(found).st_mode):
        os.close(found)
        raise ValueError(f'"{name}" has become a symlink')
    return found


def _is_bound(place: Path, wanted: os.stat_result) -> bool:
    """Whether it is there already; another thing that is there (the path has changed) is let go."""
    try:
        found = place.stat()
    except FileNotFoundError:
        return False
    if (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino):
        return True
    _libc.umount2(os.fsencode(place), _DETACH)  # EINVAL: nothing was mounted
    return False


def _prepare(place: Path, folder: bool) -> None:
    if place.exists() and place.is_dir() != folder:
        place.rmdir() if place.is_dir() else place.unlink()
    if folder:
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
    else:
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        place.touch(mode=0o600)


def _check(result: int, place: Path) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"cannot be mounted: {os.strerror(number)}", str(place))
