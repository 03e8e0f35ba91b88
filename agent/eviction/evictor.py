"""Looks whether the host is short of something and, where nothing else helps, ends one pod at a time until it is not.

Owns the order of things: conditions of the node first (the scheduler then sends no more pods), images that nobody uses
next, where it is a disk that is full, then pods, the one that ``ranking`` puts first, without grace. The next goes only
when the containers of the last are gone (pkg/kubelet/eviction/eviction_manager.go). One task.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

from agent import metrics
from agent.eviction.ranking import DISKS, ORDER, Use, may_come, message, ranked, refusal
from agent.host import Readings
from agent.pods.observed import Ending
from agent.pressure import Pressure
from agent.runtime.base import RuntimeFailure
from agent.thresholds import Shortage
from shared.api.pod import Pod
from shared.work.clock import Clock

logger = logging.getLogger(__name__)

INTERVAL = 10.0
"""Seconds between looks (the kubelet's evictionMonitoringPeriod)."""

CLEANUP = 30.0
"""Seconds that an evicted pod's containers have to go (the kubelet's podCleanupTimeout)."""


class Pods(Protocol):
    """See ``agent.pods.dispatcher.Dispatcher``."""

    def wanted(self) -> Iterable[Pod]:
        """The pods that are to run here."""
        ...

    def end(self, uid: str, ending: Ending, event: str) -> None:
        """End a pod, and tell it."""
        ...

    def is_stopped(self, uid: str) -> bool:
        """Whether nothing of a pod runs any more."""
        ...


class Evictor:
    """``readings`` looks at the host; ``usage`` tells what pods use of what a signal is about; ``reclaim`` frees what
    nobody uses; ``noticed`` is called when the node's conditions may have changed."""

    def __init__(
        self,
        pods: Pods,
        pressure: Pressure,
        readings: Callable[[], Awaitable[Readings]],
        usage: Callable[[str, list[Pod]], Awaitable[list[Use]]],
        reclaim: Callable[[], Awaitable[int]],
        noticed: Callable[[], None],
        clock: Clock,
        *,
        interval: float = INTERVAL,
    ) -> None:
        self._pods, self._pressure, self._readings, self._usage = pods, pressure, readings, usage
        self._reclaim, self._noticed, self._clock, self._interval = reclaim, noticed, clock, interval
        self._last = "", 0.0
        """The pod that was evicted last, and until when its containers are waited for."""

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await asyncio.sleep(self._interval)
            try:
                await self.look()
            except (RuntimeFailure, OSError) as error:
                logger.warning("cannot look what the host is short of", extra={"error": str(error)})

    def refuses(self, pod: Pod) -> Ending | None:
        """Why a pod that has just been bound to this node is not taken in."""
        conditions = self._pressure.conditions
        if may_come(pod, conditions):
            return None
        return Ending("Evicted", refusal(conditions), self._clock.monotonic())

    async def look(self) -> str:
        """The uid of the pod that was ended, if one was. Raises RuntimeFailure, OSError."""
        before = self._pressure.conditions
        short = self._pressure.look(await self._readings())
        if self._pressure.conditions != before:
            self._noticed()
        if any(signal in DISKS for signal in short) and await self._reclaim() > 0:
            short = self._pressure.look(await self._readings())
        found = next((short[signal] for signal in ORDER if signal in short), None)
        return await self._evict(found) if found is not None and not self._is_going() else ""

    def _is_going(self) -> bool:
        """Whether the last pod that was evicted still has containers, and time for them to go."""
        uid, until = self._last
        return bool(uid) and self._clock.monotonic() < until and not self._pods.is_stopped(uid)

    async def _evict(self, shortage: Shortage) -> str:
        first = next(iter(ranked(await self._usage(shortage.signal, list(self._pods.wanted())), shortage.signal)), None)
        if first is None:
            logger.warning("the host is short, and no pod may be evicted", extra={"signal": shortage.signal})
            return ""
        meta, text = first.pod.metadata, message(first, shortage)
        logger.warning("evicting a pod", extra={"pod": first.pod.key, "signal": shortage.signal, "why": text})
        metrics.EVICTIONS.labels(shortage.signal).inc()
        self._last = meta.uid, self._clock.monotonic() + CLEANUP
        self._pods.end(meta.uid, Ending("Evicted", text, self._clock.monotonic(), disruption=True), "Evicted")
        return meta.uid
