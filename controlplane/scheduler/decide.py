"""The decision: a snapshot and pending pods in, bindings and refusals out.

Pure: the snapshot is read, never changed; what is decided for one pod is counted for the next within a copy of
its usage. Pods of one priority with equal requirements are taken together, the first to come leading: filters
and scores run once for all of them, and each pod is then one look for the best row.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from controlplane.scheduler.filters import Usage, feasible, how_many, message
from controlplane.scheduler.requirements import Requirements
from controlplane.scheduler.scores import score
from controlplane.scheduler.snapshot import Snapshot


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
    usage = Usage(snapshot.requested.copy(), snapshot.scored.copy(), {**snapshot.ports})
    owned: dict[str, dict[int, int]] = {}
    decision = Decision()
    for group in _groups(pods):
        _place(snapshot, usage, owned, group, decision)
    return decision


def _groups(pods: Sequence[Pending]) -> list[list[Pending]]:
    """Equal pods of one priority together, in the order in which their first one came."""
    groups: dict[tuple[int, Requirements], list[Pending]] = {}
    for pod in pods:
        groups.setdefault((-pod.priority, pod.requirements), []).append(pod)
    return [groups[key] for key in sorted(groups, key=lambda key: key[0])]


def _place(
    snapshot: Snapshot,
    usage: Usage,
    owned: dict[str, dict[int, int]],
    group: list[Pending],
    decision: Decision,
) -> None:
    pod = group[0].requirements
    rows, reasons = feasible(snapshot, usage, pod)
    placed: dict[int, int] = {}
    done = 0
    if rows.any():
        capacity = how_many(snapshot, usage, pod, rows)
        counts = owned.get(pod.owner)
        if counts is None:
            counts = dict(snapshot.owners.get(pod.owner, ()))
            if pod.owner:
                owned[pod.owner] = counts
        scored = score(snapshot, usage, pod, counts, rows)
        values = scored.base
        for waiting in group:
            row = int(values.argmax())
            if values[row] == -np.inf:
                break
            decision.bound.append(Bound(waiting, snapshot.names[row]))
            already = placed.get(row, 0) + 1
            placed[row] = already
            values[row] = values[row] - scored.step[row] if already < capacity[row] else -np.inf
            done += 1
        _take(snapshot, usage, pod, placed)
        for row, count in placed.items():
            counts[row] = counts.get(row, 0) + count
        if done < len(group):
            _, reasons = feasible(snapshot, usage, pod)
    if done < len(group):
        text = message(snapshot.nodes, reasons)
        decision.refused.extend(Refused(waiting, text) for waiting in group[done:])


def _take(snapshot: Snapshot, usage: Usage, pod: Requirements, placed: dict[int, int]) -> None:
    """Count the pods that were placed, so that the next group sees them."""
    if not placed:
        return
    rows = np.fromiter(placed.keys(), np.int64, len(placed))
    counts = np.fromiter(placed.values(), np.int64, len(placed))
    for name, amount in pod.requests:
        usage.requested[rows, snapshot.resources[name]] += amount * counts
    usage.scored[rows, 0] += pod.scored_cpu * counts
    usage.scored[rows, 1] += pod.scored_memory * counts
    for ip, protocol, number in pod.ports:
        held: dict[int, Iterable[str]] = {**usage.ports.get((protocol, number), {})}
        for row in placed:
            held[row] = (*held.get(row, ()), ip)
        usage.ports[(protocol, number)] = held
