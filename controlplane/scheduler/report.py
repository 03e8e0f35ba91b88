"""Telling users why a pod waits: the PodScheduled condition and the FailedScheduling event.

Owns the writes about pods that could not be placed. They never hold up a decision: what is to be said waits in
a table by pod, the newest message replacing an older one that was not written yet. One event loop.
"""

from __future__ import annotations

import asyncio
import logging

from shared.api.errors import Conflict, NotFound, StatusError
from shared.api.kinds import PODS
from shared.api.meta import JSON, Condition, timestamp
from shared.api.pod import Pod
from shared.client.base import Client, PatchType
from shared.client.cache import Cache
from shared.work.backoff import Backoff
from shared.work.clock import Clock

logger = logging.getLogger(__name__)

WORKERS = 4
ATTEMPTS = 5
_RETRY = Backoff(0.2, 5.0)


class Reporter:
    """``run`` one or more times side by side; ``unschedulable`` never blocks."""

    def __init__(self, client: Client, pods: Cache[Pod], clock: Clock) -> None:
        self._client, self._pods, self._clock = client, pods, clock
        self._waiting: dict[tuple[str, str, str], str] = {}
        self._wake = asyncio.Event()

    def unschedulable(self, pod: Pod, message: str) -> None:
        """Have the condition say so, unless it does already."""
        if not _says(pod, message):
            self._waiting[(pod.metadata.namespace, pod.metadata.name, pod.metadata.uid)] = message
            self._wake.set()

    async def run(self) -> None:
        """Write what waits, until cancelled."""
        while True:
            while not self._waiting:
                self._wake.clear()
                await self._wake.wait()
            key = next(iter(self._waiting))
            await self._write(*key, self._waiting.pop(key))

    async def _write(self, namespace: str, name: str, uid: str, message: str) -> None:
        for attempt in range(ATTEMPTS):
            pod = self._pods.get(name, namespace)
            if pod is None or pod.metadata.uid != uid or pod.spec.node_name or _says(pod, message):
                return
            try:
                await self._client.patch(
                    PODS, name, self._patch(pod, message), namespace, type=PatchType.STRATEGIC, subresource="status"
                )
            except (NotFound, Conflict):
                return  # gone, or another pod of that name
            except StatusError as error:
                logger.warning(
                    "could not say why a pod waits", extra={"pod": f"{namespace}/{name}", "error": error.message}
                )
                await asyncio.sleep(_RETRY.delay(attempt))
            else:
                return

    def _patch(self, pod: Pod, message: str) -> JSON:
        before = _condition(pod)
        since = before.last_transition_time if before is not None and before.status == "False" else None
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": message,
            "lastProbeTime": None,
            "lastTransitionTime": timestamp(since or self._clock.now()),
        }
        return {"metadata": {"uid": pod.metadata.uid}, "status": {"conditions": [condition]}}


def _condition(pod: Pod) -> Condition | None:
    return next((condition for condition in pod.status.conditions if condition.type == "PodScheduled"), None)


def _says(pod: Pod, message: str) -> bool:
    condition = _condition(pod)
    return condition is not None and (condition.status, condition.reason, condition.message) == (
        "False",
        "Unschedulable",
        message,
    )
