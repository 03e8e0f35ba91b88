"""How many replicas each ReplicaSet of a Deployment should have now: arithmetic only.

Pure: sizes and availability in, sizes out. The rules are those of k8s.io/kubernetes pkg/controller/deployment
(rolling.go, recreate.go, sync.go and util/deployment_util.go). Where Kubernetes takes one step a sync and waits
for its own write to come back, ``rolling`` takes all the steps that the present availability allows, which ends
at the same sizes. Two things always hold:

- available replicas are never given up below ``replicas - unavailable``;
- the sizes together are never raised above ``replicas + surge``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from shared.api import intstr


@dataclass(frozen=True, slots=True)
class Goal:
    """What the Deployment asks for. ``surge`` and ``unavailable`` are absolute, and 0 for Recreate."""

    replicas: int
    surge: int = 0
    unavailable: int = 0
    rolling: bool = True

    @property
    def most(self) -> int:
        """The most replicas there may be at a time."""
        return self.replicas + self.surge

    @property
    def least(self) -> int:
        """The fewest available replicas there may be at a time."""
        return self.replicas - self.unavailable


@dataclass(frozen=True, slots=True)
class Part:
    """One ReplicaSet: ``size`` is spec.replicas; ``age`` orders by creation, the oldest smallest.

    ``seen_desired`` and ``seen_most`` are what the Deployment asked for when it last sized this ReplicaSet (the
    annotations desired-replicas and max-replicas), None if it does not say.
    """

    name: str
    size: int
    available: int = 0
    age: float = 0.0
    seen_desired: int | None = None
    seen_most: int | None = None

    @property
    def healthy(self) -> int:
        """Available replicas that the size still keeps. Status follows a scale-down later: until then it counts
        pods that are on their way out, and trusting it would take them twice."""
        return min(self.size, self.available)


@dataclass(frozen=True, slots=True)
class Scale:
    """Give the ReplicaSet this size."""

    name: str
    size: int


def fenceposts(max_surge: int | str, max_unavailable: int | str, replicas: int) -> tuple[int, int]:
    """Surge rounded up and unavailable rounded down, in replicas; if both are 0, unavailable is 1.

    Raises ValueError on strings that are no percentages; validation refuses them before they are stored.
    """
    surge = intstr.resolve(max_surge, replicas, round_up=True)
    unavailable = intstr.resolve(max_unavailable, replicas, round_up=False)
    if surge == 0 and unavailable == 0:
        # Validation refuses two zeros, but both can come to 0 from percentages; then nothing could ever move.
        unavailable = 1
    return surge, unavailable


def new_size(goal: Goal, size: int, total: int) -> int:
    """How large the new ReplicaSet may be, being ``size`` now among ``total`` replicas (NewRSNewReplicas)."""
    if not goal.rolling:
        return goal.replicas
    if total >= goal.most:
        return size
    return size + min(goal.most - total, goal.replicas - size)


def rolling(goal: Goal, new: Part, old: Sequence[Part]) -> list[Scale]:
    """Every change that a RollingUpdate may make at once, those that shrink first."""
    parts = [new, *old]
    sizes = {part.name: part.size for part in parts}
    while True:
        before = dict(sizes)
        if sizes[new.name] > goal.replicas:
            sizes[new.name] = goal.replicas
        elif sizes[new.name] < goal.replicas:
            sizes[new.name] = new_size(goal, sizes[new.name], sum(sizes.values()))
        _shrink_old(goal, replace(new, size=sizes[new.name]), old, sizes)
        if sizes == before:
            break
    # Shrinking first keeps the total within bounds even if a later write fails; what may shrink does not depend
    # on what grows, since new replicas are not available yet.
    changed = [part for part in parts if sizes[part.name] != part.size]
    return [Scale(p.name, sizes[p.name]) for p in sorted(changed, key=lambda p: sizes[p.name] > p.size)]


def _shrink_old(goal: Goal, new: Part, old: Sequence[Part], sizes: dict[str, int]) -> None:
    """Take unhealthy old replicas first, as they block nobody, then healthy ones while enough stay available."""
    spare = sum(sizes.values()) - goal.least - max(0, new.size - new.available)
    if spare <= 0:
        return
    eldest_first = sorted(old, key=lambda part: part.age)
    for part in eldest_first:
        now = replace(part, size=sizes[part.name])
        take = min(spare, now.size - now.healthy)
        sizes[part.name] -= take
        spare -= take
    healthy = new.healthy + sum(replace(part, size=sizes[part.name]).healthy for part in old)
    spare = healthy - goal.least
    for part in eldest_first:
        take = min(max(0, spare), sizes[part.name])
        sizes[part.name] -= take
        spare -= take


def proportional(goal: Goal, new: Part | None, old: Sequence[Part]) -> list[Scale]:
    """The Deployment was scaled, or is paused: sizes for every ReplicaSet concerned, even if unchanged.

    A single active ReplicaSet (or else the newest) takes the whole size. Once the new one is complete, the old
    ones go. In the middle of a rollout each keeps its share of the new total (DeploymentController.scale).
    """
    parts = [*old, *([new] if new is not None else [])]
    active = [part for part in parts if part.size > 0]
    if parts and len(active) <= 1:
        only = active[0] if active else new or max(parts, key=lambda part: part.age)
        return [Scale(only.name, goal.replicas)]
    if new is not None and saturated(goal, new):
        return [Scale(part.name, 0) for part in active if part is not new]
    return _shares(goal, active) if goal.rolling else []


def _shares(goal: Goal, active: Sequence[Part]) -> list[Scale]:
    room = (goal.most if goal.replicas > 0 else 0) - sum(part.size for part in active)
    if room > 0:  # the largest first, of the same size the newest
        ordered = sorted(active, key=lambda part: (-part.size, -part.age))
    else:
        ordered = sorted(active, key=lambda part: (-part.size, part.age))
    sizes = {part.name: part.size for part in ordered}
    given = 0
    for part in ordered:
        share = _share(goal, part, room - given)
        sizes[part.name] += share
        given += share
    for part in ordered:  # what rounding left over; the first takes it all, unless it has not so many to give
        rest = max(room - given, -sizes[part.name])
        sizes[part.name] += rest
        given += rest
    return [Scale(name, size) for name, size in sizes.items()]


def _share(goal: Goal, part: Part, left: int) -> int:
    """The part of ``left`` (negative when shrinking) that keeps this ReplicaSet's proportion of the whole."""
    if part.size == 0 or left == 0:
        return 0
    if goal.replicas == 0:
        return max(-part.size, left)
    if not part.seen_most:
        return 0
    exact = part.size * goal.most / part.seen_most
    fraction = int(exact + 0.5) - part.size
    return min(fraction, left) if left > 0 else max(fraction, left)


def saturated(goal: Goal, new: Part) -> bool:
    """Whether the new ReplicaSet has its full size, and that size is what the Deployment asks for (IsSaturated)."""
    return new.size == new.available == new.seen_desired == goal.replicas


def is_scaling(goal: Goal, parts: Sequence[Part]) -> bool:
    """Whether the Deployment was scaled since its ReplicaSets were last sized."""
    return any(part.size > 0 and part.seen_desired not in (None, goal.replicas) for part in parts)


def apply(parts: Sequence[Part], scales: Sequence[Scale]) -> Mapping[str, int]:
    """The sizes after ``scales``, by name."""
    sizes = {part.name: part.size for part in parts}
    sizes.update({scale.name: scale.size for scale in scales})
    return sizes
