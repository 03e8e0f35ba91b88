"""A host that shuts down: its pods end in order of their priority, and the cluster is told, before the power goes.

systemd stops services in the reverse order of their start, so the agent's unit, which starts after Docker's and the
network's, is asked to end while both still work: no inhibitor lock is needed. Phases, words and conditions are the
kubelet's (pkg/kubelet/nodeshutdown; https://kubernetes.io/docs/concepts/cluster-administration/node-shutdown/). An
agent that is merely stopped or restarted leaves all containers alone. On the event loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from agent.eviction.ranking import CRITICAL_PRIORITY
from agent.pods.observed import Ending
from shared.api.errors import StatusError
from shared.api.pod import Pod
from shared.work.clock import Clock

logger = logging.getLogger(__name__)

ENDED = "Pod was terminated in response to imminent node shutdown."
TELL = 3.0
"""Seconds to tell the server something; it may be away, or be this very host."""
_ASK = 5.0
_SYSTEMD = Path("/run/systemd/system")


class Pods(Protocol):
    """See ``agent.pods.dispatcher.Dispatcher``."""

    def wanted(self) -> list[Pod]: ...
    def end(self, uid: str, ending: Ending, event: str) -> None: ...
    def close(self) -> None: ...
    async def stopped(self, uids: Iterable[str]) -> None: ...
    async def told(self, uids: Iterable[str], timeout: float) -> None: ...


class Node(Protocol):
    """See ``agent.node.NodeRegistration``."""

    async def shutting_down(self) -> None: ...


async def is_host_stopping() -> bool:
    """Whether systemd is on its way to switch the host off, or to start it anew."""
    if not await asyncio.to_thread(_SYSTEMD.is_dir):
        return False
    try:
        async with asyncio.timeout(_ASK):
            process = await asyncio.create_subprocess_exec(
                "systemctl", "is-system-running", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
            )
            answer, _ = await process.communicate()
    except (OSError, TimeoutError) as error:
        logger.warning("systemd does not say whether the host shuts down", extra={"error": str(error)})
        return False
    return answer.strip() == b"stopping"


class GracefulShutdown:
    """``grace`` seconds are for all pods, the last ``critical`` of them for critical ones."""

    def __init__(self, pods: Pods, node: Node, clock: Clock, *, grace: float, critical: float) -> None:
        self._pods, self._node, self._clock = pods, node, clock
        self._grace, self._critical = grace, critical

    async def run(self) -> None:
        """End every pod, the critical ones last, and tell the server; bounded by the graces and ``TELL``."""
        if self._grace <= 0:
            return
        pods = self._pods.wanted()
        logger.warning("the host shuts down: ending its pods", extra={"pods": len(pods), "seconds": self._grace})
        self._pods.close()
        try:
            async with asyncio.timeout(TELL):
                await self._node.shutting_down()
        except (StatusError, TimeoutError) as error:
            logger.info("cannot tell the server that the host shuts down", extra={"error": str(error)})
        critical = [pod for pod in pods if pod.spec.priority >= CRITICAL_PRIORITY]
        await self._end([pod for pod in pods if pod.spec.priority < CRITICAL_PRIORITY], self._grace - self._critical)
        await self._end(critical, self._critical)

    async def _end(self, pods: list[Pod], seconds: float) -> None:
        """End pods within ``seconds``, each within its own grace where that is shorter."""
        if not pods:
            return
        now, uids = self._clock.monotonic(), [pod.metadata.uid for pod in pods]
        for pod in pods:
            own = min(float(pod.spec.termination_grace_period_seconds), seconds)
            ending = Ending("Terminated", ENDED, now + own, disruption=True)
            self._pods.end(pod.metadata.uid, ending, "NodeShutdown")
        try:
            async with asyncio.timeout(seconds):
                await self._pods.stopped(uids)
        except TimeoutError:
            logger.warning("pods did not end in time", extra={"seconds": seconds})
        await self._pods.told(uids, TELL)
