"""Ends pods that keep more on the disk than they said: an emptyDir's sizeLimit, limits of ephemeral-storage.

``exceeded`` is pure; rules and words are localStorageEviction's in pkg/kubelet/eviction/eviction_manager.go. Pods that
set no such limit cost nothing. One task.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping
from typing import Protocol

from agent import metrics
from agent.eviction.evictor import INTERVAL, Pods
from agent.eviction.ranking import Use
from agent.pods.observed import Ending
from agent.runtime.base import RuntimeFailure
from shared.api import quantity
from shared.api.pod import Container, Pod
from shared.work.clock import Clock

logger = logging.getLogger(__name__)

RESOURCE = "ephemeral-storage"


class Sizes(Protocol):
    """See ``agent.eviction.usage.PodUses``."""

    async def sizes(self, pods: list[Pod]) -> list[Use]: ...
    async def empty_dirs(self, pod: Pod) -> dict[str, int]: ...


def limits_folders(pod: Pod) -> bool:
    """Whether an emptyDir on the disk has a limit; one in memory is made no larger than its own."""
    return any(v.empty_dir is not None and not v.empty_dir.medium and v.empty_dir.size_limit for v in pod.spec.volumes)


def limits_storage(pod: Pod) -> bool:
    """Whether a container has a limit of what it keeps on the disk."""
    return any(RESOURCE in container.resources.limits for container in _long_lived(pod))


def exceeded(pod: Pod, folders: Mapping[str, int], containers: Mapping[str, int]) -> str:
    """Which limit the pod is over, in the kubelet's words, or an empty string.

    ``folders`` are bytes by emptyDir volume, ``containers`` by container: what it wrote, its log included.
    """
    for volume in pod.spec.volumes:
        limit = volume.empty_dir.size_limit if volume.empty_dir is not None else None
        if limit and 0 < quantity.value(limit) < folders.get(volume.name, 0):
            return f'Usage of EmptyDir volume "{volume.name}" exceeds the limit "{limit}". '
    limits = {c.name: c.resources.limits[RESOURCE] for c in _long_lived(pod) if RESOURCE in c.resources.limits}
    if not limits:
        return ""
    total = sum(quantity.value(limit) for limit in limits.values())
    if len(limits) == len(list(_long_lived(pod))) and sum(folders.values()) + sum(containers.values()) > total:
        amount = quantity.canonical(f"{total // 1024}Ki" if total % 1024 == 0 else total)
        return f"Pod ephemeral local storage usage exceeds the total limit of containers {amount}. "
    for name, limit in limits.items():
        if containers.get(name, 0) > quantity.value(limit):
            return f'Container {name} exceeded its local ephemeral storage limit "{limit}". '
    return ""


class LocalStorage:
    """Looks every ``interval`` seconds, and ends what is over its limits at once."""

    def __init__(self, pods: Pods, sizes: Sizes, clock: Clock, *, interval: float = INTERVAL) -> None:
        self._pods, self._sizes, self._clock, self._interval = pods, sizes, clock, interval

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(self._interval)
            try:
                await self.look()
            except (RuntimeFailure, OSError) as error:
                logger.warning("cannot look what pods keep on the disk", extra={"error": str(error)})

    async def look(self) -> list[str]:
        """The uids of the pods that were ended. Raises RuntimeFailure, OSError."""
        wanted = list(self._pods.wanted())
        storage = [pod for pod in wanted if limits_storage(pod)]
        written: dict[str, Mapping[str, int]] = {}
        if storage:
            written = {use.pod.metadata.uid: dict(use.containers) for use in await self._sizes.sizes(storage)}
        ended = []
        for pod in wanted:
            uid = pod.metadata.uid
            if uid not in written and not limits_folders(pod):
                continue
            text = exceeded(pod, await self._sizes.empty_dirs(pod), written.get(uid, {}))
            if text:
                logger.warning("evicting a pod", extra={"pod": pod.key, "signal": RESOURCE, "why": text})
                metrics.EVICTIONS.labels(RESOURCE).inc()
                self._pods.end(uid, Ending("Evicted", text, self._clock.monotonic(), disruption=True), "Evicted")
                ended.append(uid)
        return ended


def _long_lived(pod: Pod) -> Iterator[Container]:
    yield from pod.spec.containers
