"""What is mounted where in a container: volumes, sub-paths, and the files in /etc. Blocking: call it in a thread."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from agent.pods.volumes.base import PodPaths, VolumeFailure
from agent.runtime.base import Mount
from shared.api.pod import Container, Pod, Volume


def container_mounts(
    pod: Pod, container: Container, sources: Mapping[str, Mount], paths: PodPaths
) -> tuple[Mount, ...]:
    """The mounts of ``container``; ``sources`` has one for each volume, with an empty target. Raises VolumeFailure."""
    mounts: list[Mount] = []
    for wanted in container.volume_mounts:
        source = sources.get(wanted.name)
        if source is None:
            raise VolumeFailure(f'volume "{wanted.name}" of a mount at {wanted.mount_path} does not exist')
        path = source.source
        if wanted.sub_path:
            if not path:
                raise VolumeFailure(f'volume "{wanted.name}" is in memory and cannot be mounted with a subPath here')
            try:
                path = str(sub_path(Path(path), wanted.sub_path))
            except (OSError, ValueError) as error:
                what = f'volumeMount "{wanted.name}" of container "{container.name}"'
                raise VolumeFailure(f"failed to prepare subPath for {what}: {error}") from error
        read_only = wanted.read_only or source.read_only
        mounts.append(Mount(path, wanted.mount_path, read_only, source.size_bytes, source.memory))
    taken = {mount.target.rstrip("/") for mount in mounts}
    for file, target in _host_files(pod, paths):
        if target not in taken and "/etc" not in taken:
            mounts.append(Mount(str(file), target))
    return tuple(mounts)


def sub_path(root: Path, relative: str) -> Path:
    """``relative`` inside a volume, made as a directory when it is missing.

    Raises ValueError where it leads out of the volume, also through symlinks that a container put there; OSError.
    """
    parts = Path(relative).parts
    if relative.startswith("/") or ".." in parts:
        raise ValueError(f'subPath "{relative}" must stay within the volume')
    base = root.resolve(strict=True)
    current = base
    for part in parts:
        current = (current / part).resolve()
        if current != base and base not in current.parents:
            raise ValueError(f'subPath "{relative}" leads out of the volume')
        if not current.exists():
            current.mkdir(mode=0o755)
    return current


def is_object_volume(volume: Volume) -> bool:
    """Whether it shows what may change: a ConfigMap, a Secret, a token, fields of the pod."""
    return volume.config_map is not None or volume.secret is not None or volume.projected is not None


def _host_files(pod: Pod, paths: PodPaths) -> list[tuple[Path, str]]:
    files = [(paths.hosts, "/etc/hosts"), (paths.resolv_conf, "/etc/resolv.conf")]
    if not pod.spec.host_network:
        files.append((paths.hostname, "/etc/hostname"))
    return files
