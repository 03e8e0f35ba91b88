"""The cells of the pods' table: Ready, Status and Restarts as kubectl shows them.

Pure. The rules are those of printPod in pkg/printers/internalversion/printers.go.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from controlplane.apiserver.kinds.base import Column
from controlplane.apiserver.kinds.cells import NONE, Aging, age_column, at, human_duration, instant, name_column
from shared.api.meta import JSON


class PodSummary(NamedTuple):
    """What the three cells are made of."""

    ready: int
    total: int
    reason: str
    restarts: int
    last_restart: datetime | None


def summarize(pod: JSON) -> PodSummary:
    """Read a pod's containers and conditions into one line."""
    spec: JSON = pod.get("spec") or {}
    status: JSON = pod.get("status") or {}
    conditions: Sequence[JSON] = status.get("conditions") or ()
    phase = status.get("phase") or ""
    reason = status.get("reason") or phase
    if any(c.get("type") == "PodScheduled" and c.get("reason") == "SchedulingGated" for c in conditions):
        reason = "SchedulingGated"
    sidecars = {c.get("name") for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"}
    total = len(spec.get("containers") or ()) + len(sidecars)
    summary = _initializing(spec, status, sidecars, total, reason)
    if summary is None or _is_true(conditions, "Initialized"):
        summary = _running(status, sidecars, total, summary.reason if summary else reason, conditions)
    reason = summary.reason
    if pod["metadata"].get("deletionTimestamp"):
        if status.get("reason") == "NodeLost":
            reason = "Unknown"
        elif phase not in ("Succeeded", "Failed"):
            reason = "Terminating"
    return summary._replace(reason=reason)


def _initializing(spec: JSON, status: JSON, sidecars: set[Any], total: int, reason: str) -> PodSummary | None:
    """The summary while init containers are at work; None when they are done."""
    restarts, ready = 0, 0
    last: datetime | None = None
    count = len(spec.get("initContainers") or ())
    for index, container in enumerate(status.get("initContainerStatuses") or ()):
        restarts += container.get("restartCount") or 0
        last = _later(last, container)
        state: JSON = container.get("state") or {}
        ended: JSON | None = state.get("terminated")
        if ended is not None and not ended.get("exitCode"):
            continue
        if container.get("name") in sidecars and container.get("started"):
            ready += bool(container.get("ready"))
            continue
        waiting = at(state, "waiting", "reason", default="")
        if ended is not None:
            reason = f"Init:{_ended(ended)}"
        elif waiting and waiting != "PodInitializing":
            reason = f"Init:{waiting}"
        else:
            reason = f"Init:{index}/{count}"
        return PodSummary(ready, total, reason, restarts, last)
    return None


def _running(status: JSON, sidecars: set[Any], total: int, reason: str, conditions: Sequence[JSON]) -> PodSummary:
    restarts, ready = 0, 0
    last: datetime | None = None
    running = False
    for container in status.get("initContainerStatuses") or ():
        if container.get("name") in sidecars:
            restarts += container.get("restartCount") or 0
            last = _later(last, container)
            ended = at(container, "state", "terminated")
            if container.get("started") and container.get("ready") and ended is None:
                ready += 1
    for container in reversed(status.get("containerStatuses") or ()):
        restarts += container.get("restartCount") or 0
        last = _later(last, container)
        state: JSON = container.get("state") or {}
        if waiting := at(state, "waiting", "reason"):
            reason = waiting
        elif (ended := state.get("terminated")) is not None:
            reason = _ended(ended)
        elif container.get("ready") and state.get("running") is not None:
            running = True
            ready += 1
    if reason == "Completed" and running:
        reason = "Running" if _is_true(conditions, "Ready") else "NotReady"
    return PodSummary(ready, total, reason, restarts, last)


def _ended(terminated: JSON) -> str:
    if reason := terminated.get("reason"):
        return str(reason)
    if signal := terminated.get("signal"):
        return f"Signal:{signal}"
    return f"ExitCode:{terminated.get('exitCode') or 0}"


def _later(last: datetime | None, container: JSON) -> datetime | None:
    when = instant(at(container, "lastState", "terminated", "finishedAt"))
    if when is None or (last is not None and when <= last):
        return last
    return when


def _is_true(conditions: Sequence[JSON], type_: str) -> bool:
    return any(c.get("type") == type_ and c.get("status") == "True" for c in conditions)


class _Memo:
    """The summary of the pod that was looked at last: three cells of a row want it, one after the other."""

    pod: JSON | None = None
    summary: PodSummary

    def __call__(self, pod: JSON) -> PodSummary:
        if self.pod is not pod:
            self.pod, self.summary = pod, summarize(pod)
        return self.summary


_summary = _Memo()


def _ready(pod: JSON) -> str:
    summary = _summary(pod)
    return f"{summary.ready}/{summary.total}"


def _restarts(pod: JSON) -> Aging:
    _, _, _, restarts, last = _summary(pod)
    if restarts and last is not None:
        return lambda now: f"{restarts} ({human_duration(now - last)} ago)"
    return str(restarts)


def _ip(pod: JSON) -> str:
    addresses = at(pod, "status", "podIPs", default=())
    return str((addresses[0].get("ip") if addresses else at(pod, "status", "podIP")) or NONE)


def _gates(pod: JSON) -> str:
    gates = at(pod, "spec", "readinessGates", default=())
    if not gates:
        return NONE
    conditions = at(pod, "status", "conditions", default=())
    true = sum(_is_true(conditions, gate.get("conditionType") or "") for gate in gates)
    return f"{true}/{len(gates)}"


COLUMNS = (
    name_column(),
    Column("Ready", "string", "Containers that are ready, of all containers.", _ready),
    Column("Status", "string", "The state of the pod in one word.", lambda pod: _summary(pod).reason),
    Column("Restarts", "string", "How often its containers were restarted, and when last.", _restarts),
    age_column(),
    Column("IP", "string", "Address of the pod.", _ip, priority=1),
    Column("Node", "string", "Node that the pod is bound to.",
           lambda pod: at(pod, "spec", "nodeName") or NONE, priority=1),
    Column("Nominated Node", "string", "Node that is being made free for the pod.",
           lambda pod: at(pod, "status", "nominatedNodeName") or NONE, priority=1),
    Column("Readiness Gates", "string", "Readiness gates that are true, of all.", _gates, priority=1),
)  # fmt: skip
