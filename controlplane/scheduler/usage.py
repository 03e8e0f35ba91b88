"""What is left of each node while a decision is being made: the snapshot's figures, and what was placed since.

Owned by one decision; the snapshot itself is not changed. Also remembers what filters and scores found out that
does not depend on what was placed, so that pods which differ in their requests only are filtered once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from controlplane.scheduler.requirements import PODS, Requirements
from controlplane.scheduler.snapshot import Snapshot

Floats = NDArray[np.float64]

POD_SHARE = 1e-3
"""What each pod takes off ``idle``: of nodes that are equally empty the one with fewer pods comes first."""


class Usage:
    """See the module. ``remembered`` is for the filters and scores, each under keys of its own."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.left = snapshot.allocatable - snapshot.requested
        """Of each resource, by row; negative where more is taken than there is."""
        # An unknown or zero allocatable counts as one unit: such a node is full by any measure.
        self.share: Floats = 50.0 / np.maximum(snapshot.allocatable[:2], 1).astype(np.float64)
        """What one millicore and one byte are worth on each row, for a scale of 0 to 100 over both."""
        self.idle: Floats = 100.0 - (snapshot.scored * self.share).sum(axis=0)
        self.idle -= POD_SHARE * snapshot.requested[snapshot.resources[PODS]]
        """How empty each row is: 100 with nothing on it, 0 when cpu and memory are all taken, or less."""
        self.ports: dict[tuple[str, int], Mapping[int, Iterable[str]]] = {**snapshot.ports}
        self.remembered: dict[Any, Any] = {}
        self._owned: dict[str, dict[int, int]] = {}

    def owned(self, owner: str) -> dict[int, int]:
        """How many pods of an owner each row has; without an owner there is nothing to count."""
        if not owner:
            return {}
        counts = self._owned.get(owner)
        if counts is None:
            counts = self._owned[owner] = dict(self.snapshot.owners.get(owner, ()))
        return counts

    def room(self, row: int, pod: Requirements) -> int:
        """How many such pods ``row`` can still take, one after another."""
        if pod.ports:
            return 1  # the second would want the same host port
        resources = self.snapshot.resources
        return min(int(self.left[resources[name], row]) // amount for name, amount in pod.requests)

    def take(self, pod: Requirements, placed: Mapping[int, int]) -> None:
        """Count pods that were placed: how many on each row."""
        if not placed:
            return
        rows = np.fromiter(placed.keys(), np.int64, len(placed))
        counts = np.fromiter(placed.values(), np.int64, len(placed))
        for name, amount in pod.requests:
            self.left[self.snapshot.resources[name], rows] -= amount * counts
        worth = pod.scored_cpu * self.share[0, rows] + pod.scored_memory * self.share[1, rows] + POD_SHARE
        self.idle[rows] -= worth * counts
        if pod.owner:
            owned = self.owned(pod.owner)
            for row, count in placed.items():
                owned[row] = owned.get(row, 0) + count
        for ip, protocol, number in pod.ports:
            held: dict[int, Iterable[str]] = {**self.ports.get((protocol, number), {})}
            for row in placed:
                held[row] = (*held.get(row, ()), ip)
            self.ports[(protocol, number)] = held
