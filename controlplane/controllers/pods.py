"""What controllers ask about a pod: is it active, ready, available, and which should go first.

Pure functions over frozen structs; the time is an input. The rules are those of k8s.io/kubernetes
pkg/api/v1/pod/util.go and pkg/controller/controller_utils.go.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from controlplane.controllers import conditions
from shared.api.pod import Pod

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
"""Annotation: an int32; among pods otherwise alike the cheaper one is deleted first."""

_PHASES = {"Pending": 0, "Unknown": 1, "Running": 2}
_INT32 = 2**31


def is_terminating(pod: Pod) -> bool:
    """Whether deletion has begun and the pod has not ended yet."""
    return pod.metadata.deletion_timestamp is not None and not is_finished(pod)


def is_finished(pod: Pod) -> bool:
    """Whether every container has ended for good."""
    return pod.status.phase in ("Succeeded", "Failed")


def is_active(pod: Pod) -> bool:
    """Whether a controller counts the pod: not finished, and deletion has not begun (IsPodActive)."""
    return pod.metadata.deletion_timestamp is None and not is_finished(pod)


def is_ready(pod: Pod) -> bool:
    """Whether the Ready condition is True."""
    ready = conditions.find(pod.status.conditions, "Ready")
    return ready is not None and ready.status == "True"


def ready_since(pod: Pod) -> datetime | None:
    """When the pod became ready; None if it is not, or does not say."""
    ready = conditions.find(pod.status.conditions, "Ready")
    return ready.last_transition_time if ready is not None and ready.status == "True" else None


def is_available(pod: Pod, min_ready_seconds: int, now: datetime) -> bool:
    """Whether the pod has been ready for ``min_ready_seconds`` (IsPodAvailable)."""
    if not is_ready(pod):
        return False
    if min_ready_seconds == 0:
        return True
    since = ready_since(pod)
    return since is not None and since + timedelta(seconds=min_ready_seconds) <= now


def seconds_until_available(pod: Pod, min_ready_seconds: int, now: datetime) -> float | None:
    """Seconds until a ready pod becomes available; None if it is available already or is not ready."""
    since = ready_since(pod)
    if since is None or is_available(pod, min_ready_seconds, now):
        return None
    return max(0.0, (since + timedelta(seconds=min_ready_seconds) - now).total_seconds())


def restarts(pod: Pod) -> int:
    """The highest restart count among the pod's containers."""
    return max((status.restart_count for status in pod.status.container_statuses), default=0)


def deletion_cost(pod: Pod) -> int:
    """The pod's deletion cost; 0 without one, or with one that is not an int32."""
    text = pod.metadata.annotations.get(DELETION_COST, "")
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 10:
        return 0
    cost = int(text)
    return cost if -_INT32 <= cost < _INT32 else 0


def victims(pods: Sequence[Pod], count: int, siblings: Iterable[Pod], now: datetime) -> list[Pod]:
    """The ``count`` pods to delete first when a controller scales down (getPodsToDelete).

    ``siblings`` are all pods of the same owner (the ReplicaSets of one Deployment): a node that holds more of
    them loses one first.
    """
    if count >= len(pods):
        return list(pods)
    crowd: dict[str, int] = {}
    for pod in siblings:
        if is_active(pod):
            crowd[pod.spec.node_name] = crowd.get(pod.spec.node_name, 0) + 1
    return sorted(pods, key=lambda pod: deletion_rank(pod, crowd, now))[:count]


def deletion_rank(pod: Pod, crowd: Mapping[str, int], now: datetime) -> tuple[float | str, ...]:
    """A sort key, first to be deleted first (ActivePodsWithRanks): unassigned before assigned, Pending before
    Unknown before Running, not ready before ready, lower deletion cost, more siblings on the node, ready more
    recently, more restarts, younger.

    Times count in powers of two (KEP-2185), so pods of about the same age are not always taken youngest first;
    Kubernetes then goes by uid at once, we ask restarts and creation first, which keeps the order a total one.
    """
    return (
        1 if pod.spec.node_name else 0,
        _PHASES.get(pod.status.phase, 0),
        1 if is_ready(pod) else 0,
        deletion_cost(pod),
        -crowd.get(pod.spec.node_name, 0),
        _age(ready_since(pod), now) if is_ready(pod) else 0,
        -restarts(pod),
        _age(pod.metadata.creation_timestamp, now),
        pod.metadata.uid,
    )


def _age(when: datetime | None, now: datetime) -> int:
    """The power of two of the nanoseconds since ``when``; -2 if it is not known, -1 if it is yet to come."""
    if when is None:
        return -2
    nanoseconds = (now - when) // timedelta(microseconds=1) * 1000
    return int(math.log2(nanoseconds)) if nanoseconds > 0 else -1
