"""Scores: which of the nodes that a pod may go to is the best one.

Pure. A score is linear in how many such pods a node already got: ``base`` for the first, ``step`` less for each
one more. So a batch of equal pods is scored once, and taking them one after another gives the same answer.
Everything is on Kubernetes' scale of 0 to 100 for one plugin at weight 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from controlplane.scheduler.filters import Usage, matches_term, prefers_not
from controlplane.scheduler.requirements import Requirements
from controlplane.scheduler.snapshot import Bools, Snapshot

Floats = NDArray[np.float64]

OWNER_WEIGHT = 20.0
"""What each pod of the same owner costs a node: as much as a fifth of its resources in use. Spreading then beats
packing evenly, unless a node is very full."""

PREFERRED_WEIGHT = 200.0
"""The best that preferred node affinity can give: twice another plugin, as in Kubernetes' default weights."""

TAINT_WEIGHT = 300.0
"""What a PreferNoSchedule taint costs: three times another plugin, as in Kubernetes' default weights."""

POD_WEIGHT = 1e-3
"""What any pod costs a node: breaks ties between nodes in favour of the one with fewer pods."""


@dataclass(frozen=True, slots=True)
class Score:
    """Of every row: the score for a first such pod, and how much less each further one scores."""

    base: Floats
    step: Floats


def score(snapshot: Snapshot, usage: Usage, pod: Requirements, owned: Mapping[int, int], rows: Bools) -> Score:
    """The score of ``rows``; ``owned`` tells how many pods of the same owner a row has. Other rows have -inf."""
    base, step = least_allocated(snapshot, usage, pod)
    pods = snapshot.resources["pods"]
    base = base - POD_WEIGHT * usage.requested[:, pods]
    step = step + POD_WEIGHT
    if pod.owner:
        if owned:
            counts = np.zeros(len(base))
            counts[list(owned.keys())] = list(owned.values())
            base = base - OWNER_WEIGHT * counts
        step = step + OWNER_WEIGHT
    if pod.preferred:
        base = base + preferred(snapshot, pod)
    if any(taint.effect == "PreferNoSchedule" for taint_set in snapshot.taint_sets for taint in taint_set):
        base = base - TAINT_WEIGHT * prefers_not(snapshot, pod)
    return Score(np.where(rows, base, -np.inf), step)


def least_allocated(snapshot: Snapshot, usage: Usage, pod: Requirements) -> tuple[Floats, Floats]:
    """The mean over cpu and memory of the percentage that is left with the pod on it (NodeResourcesFit,
    LeastAllocated), and what one such pod takes of it.

    Unlike Kubernetes' it goes below 0 where pods without requests are counted beyond what there is: the
    emptier of two such nodes is still the better one.
    """
    allocatable = snapshot.allocatable[:, :2].astype(np.float64)
    np.maximum(allocatable, 1.0, out=allocatable)
    wanted = np.array([pod.scored_cpu, pod.scored_memory], np.float64)
    taken = wanted / allocatable
    left = 1.0 - usage.scored / allocatable - taken
    return 50.0 * (left[:, 0] + left[:, 1]), 50.0 * (taken[:, 0] + taken[:, 1])


def preferred(snapshot: Snapshot, pod: Requirements) -> Floats:
    """The weight of the preferred terms that a node matches, as a part of all their weights (NodeAffinity)."""
    total = np.zeros(len(snapshot.exists))
    weights = sum(term.weight for term in pod.preferred)
    for term in pod.preferred:
        total += term.weight * matches_term(snapshot, term.preference)
    return PREFERRED_WEIGHT * total / max(weights, 1)
