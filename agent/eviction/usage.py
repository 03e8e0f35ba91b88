"""What pods use of what a host is short of: memory and processes by control group, disk by the engine's and our files.

Reads only, and only while the host is short: sizes of containers and folders cost the engine and the disk something.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Protocol

from agent.eviction.ranking import DISKS, Use
from agent.pods.state import PodState
from agent.pods.volumes.base import PodPaths
from agent.runtime.base import ContainerInfo, State
from agent.thresholds import MEMORY
from shared.api.pod import Pod


class Sizes(Protocol):
    """See ``agent.runtime.base.Runtime``."""

    async def container_sizes(self) -> Mapping[str, int]: ...


class Groups(Protocol):
    """See ``agent.usage.sampler.UsageSampler``."""

    def memory(self, container_id: str) -> int: ...
    def processes(self, container_id: str) -> int: ...


class PodUses:
    """``states`` gives the pods of this node by uid; ``data_dir`` is the agent's."""

    def __init__(
        self, states: Callable[[], Mapping[str, PodState]], groups: Groups, sizes: Sizes, data_dir: Path
    ) -> None:
        self._states, self._groups, self._sizes, self._data_dir = states, groups, sizes, data_dir

    async def of(self, signal: str, pods: list[Pod]) -> list[Use]:
        """Raises RuntimeFailure."""
        if signal in DISKS:
            sizes = await self._sizes.container_sizes()
            own = await asyncio.to_thread(self._folders, [pod.metadata.uid for pod in pods])
            return [
                Use(pod, _by_name(self._containers(pod), sizes), own.get(pod.metadata.uid, 0)) for pod in pods
            ]  # fmt: skip
        read = self._groups.memory if signal == MEMORY else self._groups.processes
        uses = []
        for pod in pods:
            running = [info for info in self._containers(pod) if info.state is State.RUNNING]
            amounts = await asyncio.to_thread(_read, read, running)
            uses.append(Use(pod, _by_name(running, amounts)))
        return uses

    async def sizes(self, pods: list[Pod]) -> list[Use]:
        """As ``of``, of the disk."""
        return await self.of(DISKS[0], pods)

    async def empty_dirs(self, pod: Pod) -> dict[str, int]:
        """Bytes in the pod's emptyDir volumes on the disk, by volume."""
        names = [v.name for v in pod.spec.volumes if v.empty_dir is not None and not v.empty_dir.medium]
        paths = PodPaths(self._data_dir, pod.metadata.uid)
        return await asyncio.to_thread(lambda: {name: folder_size(paths.volume(name)) for name in names})

    def _containers(self, pod: Pod) -> list[ContainerInfo]:
        state = self._states().get(pod.metadata.uid)
        return list(state.containers.values()) if state is not None else []

    def _folders(self, uids: list[str]) -> dict[str, int]:
        return {uid: folder_size(PodPaths(self._data_dir, uid).root) for uid in uids}


def _read(read: Callable[[str], int], infos: Iterable[ContainerInfo]) -> dict[str, int]:
    return {info.id: read(info.id) for info in infos}


def _by_name(infos: list[ContainerInfo], amounts: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    found: dict[str, int] = {}
    for info in infos:
        found[info.name] = found.get(info.name, 0) + amounts.get(info.id, 0)
    return tuple(sorted(found.items()))


def folder_size(root: Path) -> int:
    """Bytes on the disk of what is below ``root``; follows no links and leaves its file system for no mount."""
    total = 0
    try:
        device = os.lstat(root).st_dev
    except OSError:
        return 0
    folders = [str(root)]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    found = entry.stat(follow_symlinks=False)
                    if found.st_dev != device:
                        continue
                    total += found.st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
        except OSError:
            continue  # it went while we looked
    return total
