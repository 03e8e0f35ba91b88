"""Scores: which of the nodes that a pod may go to is the best one.

Pure. A score is linear in how many such pods a node already got: ``base`` for the first, ``step`` less for each
one more. So a batch of equal pods is scored once, and taking them one after another gives the same answer.
Everything is on Kubernetes' scale of 0 to 100 for one plugin at weight 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from controlplane.scheduler.filters import matches_term, prefers_not
from controlplane.scheduler.requirements import Requirements
from controlplane.scheduler.snapshot import Bools, Snapshot
from controlplane.scheduler.usage import POD_SHARE, Floats, Usage

OWNER_WEIGHT = 20.0
"""What each pod of the same owner costs a node: as much as a fifth of its resources in use. Spreading then beats
packing evenly, unless a node is very full."""

PREFERRED_WEIGHT = 200.0
"""The best that preferred node affinity can give: twice another plugin, as in Kubernetes' default weights."""

TAINT_WEIGHT = 300.0
"""What a PreferNoSchedule taint costs: three times another plugin, as in Kubernetes' default weights."""


@dataclass(frozen=True, slots=True)
class Score:
    """Of every row: the score for a first such pod, and how much less each further one scores."""

    base: Floats
    step: Floats


def score(usage: Usage, pod: Requirements, rows: Bools) -> Score:
    """The scores of ``rows``; all others have -inf."""
    base, step = least_allocated(usage, pod)
    if pod.owner:
        step += OWNER_WEIGHT
        if owned := usage.owned(pod.owner):
            base[list(owned.keys())] -= OWNER_WEIGHT * np.fromiter(owned.values(), np.float64, len(owned))
    preference = _preference(usage, pod)
    if preference is not None:
        base += preference
    base[~rows] = -np.inf
    return Score(base, step)


def least_allocated(usage: Usage, pod: Requirements) -> tuple[Floats, Floats]:
    """The mean over cpu and memory of the percentage that is left with the pod on it (NodeResourcesFit,
    LeastAllocated), and what one such pod takes of it.

    Unlike Kubernetes' it goes below 0 where pods without requests are counted beyond what there is: the
    emptier of two such nodes is still the better one.
    """
    step: Floats = pod.scored_cpu * usage.share[0]
    step += pod.scored_memory * usage.share[1]
    step += POD_SHARE
    return usage.idle - step, step


def preferred(snapshot: Snapshot, pod: Requirements) -> Floats:
    """The weight of the preferred terms that a node matches, as a part of all their weights (NodeAffinity)."""
    total = np.zeros(len(snapshot.exists))
    weights = sum(term.weight for term in pod.preferred)
    for term in pod.preferred:
        total += term.weight * matches_term(snapshot, term.preference)
    return PREFERRED_WEIGHT * total / max(weights, 1)


def _preference(usage: Usage, pod: Requirements) -> Floats | None:
    """What taints and preferred affinity add, which does not depend on what was placed; None for nothing."""
    key = (score, pod.tolerations, pod.preferred)
    if key not in usage.remembered:
        found: Floats | None = None
        snapshot = usage.snapshot
        if pod.preferred:
            found = preferred(snapshot, pod)
        if any(taint.effect == "PreferNoSchedule" for taint_set in snapshot.taint_sets for taint in taint_set):
            cost = TAINT_WEIGHT * prefers_not(snapshot, pod).astype(np.float64)
            found = -cost if found is None else found - cost
        usage.remembered[key] = found
    remembered: Floats | None = usage.remembered[key]
    return remembered
