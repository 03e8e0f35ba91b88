"""Events about pods: what ``kubectl describe pod`` shows at its end.

Never blocks and never fails its caller: a bounded queue and one task that writes. It lags a moment behind on purpose,
so that a burst of starting pods has the server for itself; repeats raise the count of the earlier Event.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import OrderedDict
from dataclasses import dataclass

from agent import metrics
from shared.api.errors import NotFound, StatusError
from shared.api.kinds import EVENTS
from shared.api.meta import JSON, timestamp
from shared.api.pod import Pod
from shared.client.base import Client
from shared.work.clock import Clock

logger = logging.getLogger(__name__)

LAG = 1.5
"""Seconds between what happens and its Event."""
LIMIT = 1000
"""Events that may wait; more are dropped and counted."""
REMEMBERED = 2000

Key = tuple[str, str, str, str, str]


@dataclass(frozen=True, slots=True)
class Happening:
    pod: Pod
    container: str
    type: str
    reason: str
    message: str
    when: str
    due: float

    @property
    def key(self) -> Key:
        return (self.pod.metadata.uid, self.container, self.type, self.reason, self.message)


class PodEvents:
    """``normal`` and ``warning`` record; ``run`` writes."""

    def __init__(self, client: Client, clock: Clock, node: str, rng: random.Random, *, lag: float = LAG) -> None:
        self._client, self._clock, self._node, self._rng, self._lag = client, clock, node, rng, lag
        self._queue: asyncio.Queue[Happening] = asyncio.Queue(LIMIT)
        self._written: OrderedDict[Key, tuple[str, int]] = OrderedDict()

    def normal(self, pod: Pod, reason: str, message: str, container: str = "") -> None:
        self._record("Normal", pod, reason, message, container)

    def warning(self, pod: Pod, reason: str, message: str, container: str = "") -> None:
        self._record("Warning", pod, reason, message, container)

    def _record(self, type: str, pod: Pod, reason: str, message: str, container: str) -> None:
        when, due = timestamp(self._clock.now()), self._clock.monotonic() + self._lag
        try:
            self._queue.put_nowait(Happening(pod, container, type, reason, message[:1024], when, due))
        except asyncio.QueueFull:
            metrics.EVENTS_DROPPED.inc()

    async def flush(self, timeout: float) -> None:
        """Return once everything so far is written, or after ``timeout`` seconds."""
        try:
            async with asyncio.timeout(timeout):
                await self._queue.join()
        except TimeoutError:
            logger.info("events were not written in time", extra={"left": self._queue.qsize()})

    async def run(self) -> None:
        """Write until cancelled. What the server refuses, or cannot take now, is dropped: events are no truth."""
        while True:
            happening = await self._queue.get()
            try:
                if (wait := happening.due - self._clock.monotonic()) > 0:
                    await asyncio.sleep(wait)
                await self._write(happening)
            except StatusError as error:
                metrics.EVENTS_DROPPED.inc()
                logger.debug("event was refused", extra={"event": happening.reason, "error": error.message})
            finally:
                self._queue.task_done()

    async def _write(self, happening: Happening) -> None:
        namespace = happening.pod.metadata.namespace
        earlier = self._written.get(happening.key)
        if earlier is not None:
            patch = {"count": earlier[1] + 1, "lastTimestamp": happening.when}
            try:
                await self._client.patch(EVENTS, earlier[0], patch, namespace)
            except NotFound:  # its time was over
                del self._written[happening.key]
            else:
                self._remember(happening.key, earlier[0], earlier[1] + 1)
                return
        obj = self._object(happening)
        await self._client.create(EVENTS, obj, namespace)
        self._remember(happening.key, obj["metadata"]["name"], 1)

    def _remember(self, key: Key, name: str, count: int) -> None:
        self._written[key] = (name, count)
        self._written.move_to_end(key)
        if len(self._written) > REMEMBERED:
            self._written.popitem(last=False)

    def _object(self, happening: Happening) -> JSON:
        meta = happening.pod.metadata
        involved: JSON = {
            "kind": "Pod", "namespace": meta.namespace, "name": meta.name, "uid": meta.uid, "apiVersion": "v1",
            "resourceVersion": meta.resource_version,
        }  # fmt: skip
        if happening.container:
            init = any(c.name == happening.container for c in happening.pod.spec.init_containers)
            list_name = "initContainers" if init else "containers"
            involved["fieldPath"] = f"spec.{list_name}{{{happening.container}}}"
        return {
            "kind": "Event",
            "apiVersion": "v1",
            "metadata": {"name": f"{meta.name[:236]}.{self._rng.getrandbits(64):016x}", "namespace": meta.namespace},
            "involvedObject": involved,
            "reason": happening.reason,
            "message": happening.message,
            "source": {"component": "kubelet", "host": self._node},
            "firstTimestamp": happening.when,
            "lastTimestamp": happening.when,
            "count": 1,
            "type": happening.type,
            "eventTime": None,
            "reportingComponent": "kubelet",
            "reportingInstance": self._node,
        }
