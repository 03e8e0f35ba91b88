"""Status reports on their way to the server: one at a time for a pod, the latest wins, retried until it is there.

Sent only when there is something new: the status differs from what was sent last, or the object shows that somebody
else changed it since (the node lifecycle controller, after the server had lost sight of this node). The patch carries
the pod's uid, so that it never lands on another pod of the same name. Lives on one event loop.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import Any

import msgspec

from agent import metrics
from shared.api.errors import BadRequest, Conflict, Forbidden, Invalid, NotFound, StatusError
from shared.api.kinds import PODS
from shared.api.meta import JSON
from shared.api.pod import Pod, PodStatus
from shared.client.base import Client, PatchType
from shared.work.backoff import Backoff
from shared.work.queue import WorkQueue
from shared.work.supervisor import Supervisor

logger = logging.getLogger(__name__)

WRITERS = 8
"""Patches under way at the same time, of different pods."""


@dataclass(slots=True)
class _Report:
    namespace: str
    name: str
    wanted: JSON
    sent: JSON | None = None
    sent_version: int = 0
    idle: asyncio.Event = field(default_factory=asyncio.Event)


class StatusReports:
    """``publish`` is called by workers, ``run`` sends."""

    def __init__(self, client: Client, supervisor: Supervisor) -> None:
        self._client, self._supervisor = client, supervisor
        self._reports: dict[str, _Report] = {}
        self._queue: WorkQueue[str] = WorkQueue(Backoff(0.2, 15.0))
        self._slots = asyncio.Semaphore(WRITERS)

    def publish(self, pod: Pod, status: JSON) -> None:
        """Let the server know, unless it does."""
        meta = pod.metadata
        report = self._reports.get(meta.uid)
        if report is None:
            report = self._reports[meta.uid] = _Report(meta.namespace, meta.name, status)
            report.idle.set()
            if same_status(pod.status, status):
                report.sent, report.sent_version = status, _version(meta.resource_version)
        report.wanted = status
        changed_by_others = (
            report.sent is not None
            and _version(meta.resource_version) > report.sent_version
            and not same_status(pod.status, status)
        )
        if report.sent != status or changed_by_others:
            if changed_by_others:
                report.sent = None
            report.idle.clear()
            self._queue.add(meta.uid)

    async def flush(self, uid: str, timeout: float) -> None:
        """Wait until the latest status of the pod is sent or refused, but at most ``timeout`` seconds."""
        report = self._reports.get(uid)
        if report is not None and not report.idle.is_set():
            try:
                async with asyncio.timeout(timeout):
                    await report.idle.wait()
            except TimeoutError:
                logger.info("final status of a pod was not sent in time", extra={"uid": uid})

    def forget(self, uid: str) -> None:
        """The pod is gone."""
        report = self._reports.pop(uid, None)
        if report is not None:
            report.idle.set()
        self._queue.forget(uid)

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            await self._slots.acquire()
            uid, _ = await self._queue.take()
            self._supervisor.spawn(f"status {uid}", self._send(uid))

    async def _send(self, uid: str) -> None:
        try:
            report = self._reports.get(uid)
            if report is None or report.sent == report.wanted:
                return
            status = report.wanted
            try:
                answer = await self._client.patch(
                    PODS,
                    report.name,
                    {"metadata": {"uid": uid}, "status": status},
                    report.namespace,
                    type=PatchType.STRATEGIC,
                    subresource="status",
                )
            except (NotFound, Conflict) as error:  # it is gone, or another pod has its name now
                metrics.STATUS_PATCHES.labels(error.reason).inc()
                self._sent(uid, report, status, report.sent_version)
            except (BadRequest, Forbidden, Invalid) as error:
                metrics.STATUS_PATCHES.labels(error.reason).inc()
                extra = {"pod": f"{report.namespace}/{report.name}", "reason": error.reason, "error": error.message}
                logger.error("status of a pod was refused", extra=extra)
                self._sent(uid, report, status, report.sent_version)
            except StatusError as error:
                metrics.STATUS_PATCHES.labels(error.reason).inc()
                self._queue.retry(uid)
            else:
                metrics.STATUS_PATCHES.labels("ok").inc()
                self._sent(uid, report, status, _version(answer.get("metadata", {}).get("resourceVersion", "")))
        finally:
            self._queue.done(uid)
            self._slots.release()

    def _sent(self, uid: str, report: _Report, status: JSON, version: int) -> None:
        self._queue.forget(uid)
        report.sent, report.sent_version = status, version
        if report.wanted == status:
            report.idle.set()
        else:
            self._queue.add(uid)


def same_status(known: PodStatus, status: JSON) -> bool:
    """Whether the object shows ``status`` already; conditions that others own do not count."""
    gone = {condition["type"] for condition in status["conditions"] if "$patch" in condition}
    if any(condition.type in gone for condition in known.conditions):
        return False
    kept_conditions = [condition for condition in status["conditions"] if "$patch" not in condition]
    ours = msgspec.convert(_without_nulls({**status, "conditions": kept_conditions}), PodStatus)
    types = {condition.type for condition in ours.conditions}
    theirs = tuple(condition for condition in known.conditions if condition.type in types)
    if {c.type: c for c in ours.conditions} != {c.type: c for c in theirs}:
        return False
    conditions = known.conditions
    kept = msgspec.structs.replace(ours, conditions=conditions, reason=known.reason, message=known.message)
    return kept == msgspec.structs.replace(known, nominated_node_name=ours.nominated_node_name)


def _without_nulls(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _without_nulls(value) for key, value in tree.items() if value is not None}
    if isinstance(tree, list):
        return [_without_nulls(value) for value in tree]
    return tree


def _version(text: str) -> int:
    """A resourceVersion as a number to compare; 0 for what is none."""
    return int(text) if text.isdigit() else 0
