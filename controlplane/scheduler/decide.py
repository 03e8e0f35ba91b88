"""The decision: a snapshot and pending pods in, bindings and refusals out.

Pure: the snapshot is read, never changed; what is decided for one pod is counted for the next in a ``Usage``.
Pods of one priority with equal requirements are taken together, the first to come leading: filters and scores
run once for all of them, and each pod is then one look for the best row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from controlplane.scheduler.filters import explain, feasible, message
from controlplane.scheduler.requirements import Requirements
from controlplane.scheduler.scores import score
from controlplane.scheduler.snapshot import Snapshot
from controlplane.scheduler.usage import Usage


@dataclass(frozen=True, slots=True)
class Pending:
    """A pod that waits for a node. ``requirements`` of equal pods are best one and the same object."""

    namespace: str
    name: str
    uid: str
    requirements: Requirements
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Bound:
    pod: Pending
    node: str


@dataclass(frozen=True, slots=True)
class Refused:
    """No node takes the pod; ``message`` counts them by reason, as Kubernetes words it."""

    pod: Pending
    message: str


@dataclass(slots=True)
class Decision:
    """An outcome for every pod."""

    bound: list[Bound] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)


def decide(snapshot: Snapshot, pods: Sequence[Pending]) -> Decision:
    """Place ``pods``, higher priority first, otherwise in their order."""
    usage = Usage(snapshot)
    decision = Decision()
    for group in _groups(pods):
        _place(usage, group, decision)
    return decision


def _groups(pods: Sequence[Pending]) -> list[list[Pending]]:
    """Equal pods of one priority together, in the order in which their first one came."""
    groups: dict[tuple[int, Requirements], list[Pending]] = {}
    for pod in pods:
        groups.setdefault((-pod.priority, pod.requirements), []).append(pod)
    return [groups[key] for key in sorted(groups, key=lambda key: key[0])]


def _place(usage: Usage, group: list[Pending], decision: Decision) -> None:
    pod, names = group[0].requirements, usage.snapshot.names
    scored = score(usage, pod, feasible(usage, pod))
    values = scored.base
    placed: dict[int, int] = {}
    room: dict[int, int] = {}
    done = 0
    for waiting in group:
        row = int(values.argmax())
        if values[row] == -np.inf:
            break
        decision.bound.append(Bound(waiting, names[row]))
        done += 1
        if row not in room:
            room[row] = usage.room(row, pod)
        already = placed[row] = placed.get(row, 0) + 1
        values[row] = values[row] - scored.step[row] if already < room[row] else -np.inf
    usage.take(pod, placed)
    if done < len(group):
        text = message(usage.snapshot.nodes, explain(usage, pod))
        decision.refused.extend(Refused(waiting, text) for waiting in group[done:])
