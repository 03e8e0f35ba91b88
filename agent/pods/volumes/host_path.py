"""hostPath volumes: the check of the path's type, as pkg/volume/hostpath does it. Blocking: call it in a thread."""

from __future__ import annotations

from pathlib import Path

from agent.pods.volumes.base import VolumeFailure
from shared.api.pod import HostPathVolumeSource


def prepare_host_path(source: HostPathVolumeSource) -> Path:
    """The path, made where its type allows. Raises VolumeFailure."""
    path, kind = Path(source.path), source.type
    if not path.is_absolute() or ".." in path.parts:
        raise VolumeFailure(f'invalid hostPath "{source.path}": it must be absolute, without ".."')
    try:
        if kind == "DirectoryOrCreate" or (kind == "" and not path.exists()):
            path.mkdir(parents=True, exist_ok=True, mode=0o755)
        elif kind == "FileOrCreate" and not path.exists():
            path.touch(mode=0o644)
    except OSError as error:
        raise VolumeFailure(f"hostPath {source.path} cannot be made: {error.strerror}") from error
    checks = {
        "DirectoryOrCreate": (path.is_dir, "directory"),
        "Directory": (path.is_dir, "directory"),
        "FileOrCreate": (path.is_file, "file"),
        "File": (path.is_file, "file"),
        "Socket": (path.is_socket, "socket file"),
        "CharDevice": (path.is_char_device, "character device"),
        "BlockDevice": (path.is_block_device, "block device"),
    }
    if kind:
        if kind not in checks:
            raise VolumeFailure(f'hostPath type "{kind}" is not supported')
        holds, noun = checks[kind]
        if not holds():
            raise VolumeFailure(f"hostPath type check failed: {source.path} is not a {noun}")
    return path
