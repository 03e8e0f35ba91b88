"""Looks again and again at what the host and its running containers use, and tells what they used in between.

Owns the last reading of each container; reads only. One task: files are read in a thread, since a busy kernel may take
its time over them, and a container's group is looked up once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from agent.pods.state import PodState
from agent.runtime.base import ContainerInfo, RuntimeFailure, State
from agent.usage import kernel
from agent.usage.kernel import Group, Reading
from shared.api.meta import timestamp
from shared.usage import INTERVAL, ContainerUsage, NodeUsage, PodUsage
from shared.work.clock import Clock

logger = logging.getLogger(__name__)


class Processes(Protocol):
    """See ``agent.runtime.base.Runtime``."""

    async def process_id(self, container_id: str) -> int: ...


@dataclass(frozen=True, slots=True)
class Point:
    """A reading and when it was made, in monotonic seconds."""

    reading: Reading
    at: float

    def rate_since(self, before: Point) -> int:
        """Billionths of a core."""
        seconds = self.at - before.at
        return round(max(0, self.reading.cpu - before.reading.cpu) / seconds) if seconds > 0 else 0


class UsageSampler:
    """``send`` takes what was found every ``interval`` seconds. ``states`` are the pods of this node by uid."""

    def __init__(
        self,
        processes: Processes,
        states: Callable[[], Mapping[str, PodState]],
        send: Callable[[NodeUsage], Awaitable[None]],
        clock: Clock,
        *,
        interval: float = INTERVAL,
    ) -> None:
        self._processes, self._states, self._send, self._clock = processes, states, send, clock
        self._interval = interval
        self._groups: dict[str, Group] = {}
        self._last: dict[str, Point] = {}
        self._host: Point | None = None

    async def run(self) -> None:
        """Sample and send, until cancelled."""
        while True:
            if (usage := await self.sample()) is not None:
                await self._send(usage)
            await asyncio.sleep(self._interval)

    async def sample(self) -> NodeUsage | None:
        """What was used since the last time; None the first time."""
        running = {
            info.id: info
            for state in self._states().values()
            for info in state.containers.values()
            if info.state is State.RUNNING
        }
        await self._find_groups(running)
        host, readings = await asyncio.to_thread(_read, {id: self._groups[id] for id in running if id in self._groups})
        now, wall = self._clock.monotonic(), self._clock.now()
        before, self._host = self._host, Point(host, now)
        last, self._last = self._last, {id: Point(reading, now) for id, reading in readings.items()}
        for id in self._groups.keys() - readings.keys():
            del self._groups[id]
        if before is None:
            return None
        began = {id: self._began(running[id], last.get(id), now) for id in readings}
        pods = list(
            self._pods(running, {id: point for id, point in began.items() if point is not None}, timestamp(wall))
        )
        cpu = self._host.rate_since(before)
        return NodeUsage(timestamp(wall), round(now - before.at, 3), cpu, host.memory, tuple(pods))

    def memory(self, container_id: str) -> int:
        """Bytes of a running container's working set now; 0 where it is not known. Blocking."""
        group = self._groups.get(container_id)
        try:
            return group.read().memory if group is not None else 0
        except (OSError, ValueError):
            return 0  # it has just ended

    def processes(self, container_id: str) -> int:
        """As ``memory``, the number of its processes."""
        group = self._groups.get(container_id)
        try:
            return group.processes() if group is not None else 0
        except (OSError, ValueError):
            return 0

    def _began(self, info: ContainerInfo, before: Point | None, now: float) -> Point | None:
        """Where a container's window begins: at the last reading, else at its start, if that was since then."""
        if before is not None or info.started_at is None:
            return before
        age = (self._clock.now() - info.started_at).total_seconds()
        return Point(Reading(0, 0), now - age) if 0 < age <= 2 * self._interval else None

    def _pods(self, running: Mapping[str, ContainerInfo], began: Mapping[str, Point], at: str) -> Iterable[PodUsage]:
        """Pods all of whose running containers are known."""
        by_pod: dict[str, list[ContainerInfo]] = {}
        for info in running.values():
            by_pod.setdefault(info.pod.uid, []).append(info)
        for uid, infos in by_pod.items():
            if not all(info.id in began for info in infos):
                continue
            pod, window = infos[0].pod, max(self._last[info.id].at - began[info.id].at for info in infos)
            containers = tuple(
                ContainerUsage(
                    info.name, self._last[info.id].rate_since(began[info.id]), self._last[info.id].reading.memory
                )
                for info in sorted(infos, key=lambda info: info.name)
            )
            yield PodUsage(pod.namespace, pod.name, uid, at, round(window, 3), containers)

    async def _find_groups(self, running: Iterable[str]) -> None:
        for id in running:
            if id in self._groups:
                continue
            try:
                process_id = await self._processes.process_id(id)
                self._groups[id] = await asyncio.to_thread(kernel.group_of, process_id)
            except (RuntimeFailure, OSError) as error:  # it has just ended, or its groups are not ours to read
                logger.debug("what a container uses is not known", extra={"container": id, "error": str(error)})


def _read(groups: Mapping[str, Group]) -> tuple[Reading, dict[str, Reading]]:
    found: dict[str, Reading] = {}
    for id, group in groups.items():
        try:
            found[id] = group.read()
        except (OSError, ValueError):
            continue  # it has just ended
    return kernel.host(), found
