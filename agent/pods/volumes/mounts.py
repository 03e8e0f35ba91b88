"""What is mounted where in a container: volumes, sub-paths, and the files in /etc. Blocking: call it in a thread."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from agent.pods.expansion import UnknownVariable, expand_all
from agent.pods.volumes.base import PodPaths, VolumeFailure
from agent.pods.volumes.sub_paths import bind_sub_path
from agent.runtime.base import Mount
from shared.api.pod import Container, Pod, Volume, VolumeMount

_PROPAGATION = {"HostToContainer": "rslave", "Bidirectional": "rshared"}


def container_mounts(
    pod: Pod,
    container: Container,
    sources: Mapping[str, Mount],
    paths: PodPaths,
    variables: Mapping[str, str],
    *,
    recursive_read_only: bool = False,
) -> tuple[Mount, ...]:
    """The mounts of ``container``; ``sources`` has one for each volume, with an empty target.

    ``variables`` are the container's, for subPathExpr; ``recursive_read_only`` is whether the engine can do that.
    Raises VolumeFailure.
    """
    mounts: list[Mount] = []
    for index, wanted in enumerate(container.volume_mounts):
        source = sources.get(wanted.name)
        if source is None:
            raise VolumeFailure(f'volume "{wanted.name}" of a mount at {wanted.mount_path} does not exist')
        read_only = wanted.read_only or source.read_only
        mount = replace(source, target=wanted.mount_path, read_only=read_only)
        if relative := _sub_path(wanted, container, variables):
            place = paths.sub_path(wanted.name, container.name, index)
            mount = replace(mount, source=_bound(mount, relative, place, wanted, container))
        recursive = _recursive(wanted, recursive_read_only)
        mounts.append(replace(mount, propagation=_PROPAGATION.get(wanted.mount_propagation, ""), recursive=recursive))
    taken = {mount.target.rstrip("/") for mount in mounts}
    for file, target in _host_files(pod, paths):
        if target not in taken and "/etc" not in taken:
            mounts.append(Mount(str(file), target))
    return tuple(mounts)


def _sub_path(wanted: VolumeMount, container: Container, variables: Mapping[str, str]) -> str:
    """Raises VolumeFailure for an expression of variables that there are not, or that makes no path of a volume."""
    if not wanted.sub_path_expr:
        return wanted.sub_path
    try:
        found = expand_all(wanted.sub_path_expr, variables)
    except UnknownVariable as error:
        what = f'volumeMount "{wanted.name}" of container "{container.name}"'
        raise VolumeFailure(f"failed to expand subPath for {what}: {error}") from error
    if found.startswith("/"):
        raise VolumeFailure(f"error SubPath `{found}` must not be an absolute path")
    if ".." in found.split("/"):
        raise VolumeFailure(f"unable to provision SubPath `{found}`: must not contain '..'")
    return found


def _bound(source: Mount, relative: str, place: Path, wanted: VolumeMount, container: Container) -> str:
    try:
        return str(bind_sub_path(Path(source.source), relative, place))
    except (OSError, ValueError) as error:
        what = f'volumeMount "{wanted.name}" of container "{container.name}"'
        raise VolumeFailure(f"failed to prepare subPath for {what}: {error}") from error


def _recursive(wanted: VolumeMount, possible: bool) -> bool:
    """The rules of resolveRecursiveReadOnly (pkg/kubelet/kubelet_pods.go). Raises VolumeFailure."""
    if not wanted.read_only or wanted.recursive_read_only in ("", "Disabled"):
        return False
    if not possible and wanted.recursive_read_only == "Enabled":
        text = "requested recursive read-only mode, but it is not supported by the runtime"
        raise VolumeFailure(f'volume "{wanted.name}" {text}')
    return possible


def is_object_volume(volume: Volume) -> bool:
    """Whether it shows what may change: a ConfigMap, a Secret, a token, fields of the pod."""
    shown = (volume.config_map, volume.secret, volume.projected, volume.downward_api)
    return any(source is not None for source in shown)


def _host_files(pod: Pod, paths: PodPaths) -> list[tuple[Path, str]]:
    files = [(paths.hosts, "/etc/hosts"), (paths.resolv_conf, "/etc/resolv.conf")]
    if not pod.spec.host_network:
        files.append((paths.hostname, "/etc/hostname"))
    return files
