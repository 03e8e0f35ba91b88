"""emptyDir volumes: a folder, or a tmpfs of medium Memory. How large a tmpfs may be is pure; the rest blocks.

The rules are pkg/volume/emptydir. That a folder stays within its sizeLimit is watched (``agent.eviction``), a tmpfs is
made no larger.
"""

from __future__ import annotations

from pathlib import Path

from agent.pods.volumes.base import VolumeFailure
from agent.pods.volumes.memory import mount_memory
from agent.pods.volumes.ownership import give_folder
from shared.api import quantity
from shared.api.pod import EmptyDirVolumeSource, Pod

MEMORY = "Memory"


def make_empty_dir(path: Path, source: EmptyDirVolumeSource, pod: Pod, node_memory: int) -> None:
    """Raises VolumeFailure, OSError."""
    if source.medium not in ("", MEMORY):
        raise VolumeFailure(f'unknown storage medium "{source.medium}"')
    new = not path.exists()
    path.mkdir(parents=True, exist_ok=True)
    if new:
        path.chmod(0o777)
    if source.medium == MEMORY:
        mount_memory(path, memory_size(pod, source, node_memory))
    give_folder(path, pod.spec.security_context.fs_group)


def memory_size(pod: Pod, source: EmptyDirVolumeSource, node_memory: int) -> int:
    """Bytes: the least of what the node offers, what all containers together may use, and the volume's own limit.

    0, the kernel's default, where none is known.
    """
    limits = [container.resources.limits.get("memory") for container in pod.spec.containers]
    bounds = [node_memory]
    if all(limit is not None for limit in limits):
        bounds.append(sum(quantity.value(limit) for limit in limits if limit is not None))
    if source.size_limit is not None:
        bounds.append(quantity.value(source.size_limit))
    return min((bound for bound in bounds if bound > 0), default=0)
