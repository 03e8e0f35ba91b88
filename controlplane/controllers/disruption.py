"""Disruption budgets: how many of the pods that each selects may be evicted now.

Writes the status of PodDisruptionBudgets and nothing else; the eviction subresource counts it down between two syncs
and notes the pods that it lets go. After k8s.io/kubernetes pkg/controller/disruption. One sync at a time for each
budget.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from controlplane.controllers import conditions, ownership, pods
from controlplane.controllers.base import Context, Key, Watch
from controlplane.controllers.writes import Patch, apply
from shared.api import intstr
from shared.api.disruption import PodDisruptionBudget, PodDisruptionBudgetStatus, selects
from shared.api.kinds import (
    DEPLOYMENTS,
    POD_DISRUPTION_BUDGETS,
    PODS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    STATEFUL_SETS,
    Resource,
)
from shared.api.meta import JSON, Condition, Object, OwnerReference, controller_of
from shared.api.pod import Pod
from shared.client.cache import Cache

DELETION_TIMEOUT = timedelta(minutes=2)
"""An evicted pod whose deletion has not begun by then is counted again (DeletionTimeout)."""

ALLOWED, SYNC_FAILED = "DisruptionAllowed", "SyncFailed"
"""The condition of a budget, and its reason where the pods cannot be counted."""

_UNMANAGED = (
    "Pods selected by this PodDisruptionBudget were found to be unmanaged. As a result, the status of the PDB cannot "
    'be calculated correctly, which may result in undefined behavior. To account for these pods please set ".spec.'
    'minAvailable" field of the PDB to an integer value.'
)
_SCALED: tuple[Resource[Any], ...] = (REPLICA_SETS, DEPLOYMENTS, STATEFUL_SETS, REPLICATION_CONTROLLERS)

Scale = Callable[[Pod], tuple[str, int] | None]
"""The uid of what manages a pod and how many pods that wants; None when nothing known does."""


class Uncountable(Exception):
    """The pods that should be there cannot be counted; the message says why."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Pods that should be there, and of these how many must stay healthy."""

    expected: int
    desired: int


def count(budget: PodDisruptionBudget, selected: Sequence[Pod], scale: Scale) -> Counts:
    """What the budget asks for (getExpectedPodCount). Raises Uncountable."""
    spec = budget.spec
    try:
        if spec.max_unavailable is not None:
            expected = _expected(selected, scale)
            return Counts(expected, max(0, expected - intstr.resolve(spec.max_unavailable, expected, round_up=True)))
        if isinstance(spec.min_available, int):
            return Counts(len(selected), spec.min_available)
        if spec.min_available is not None:
            expected = _expected(selected, scale)
            return Counts(expected, intstr.resolve(spec.min_available, expected, round_up=True))
    except ValueError as error:
        raise Uncountable(str(error)) from error
    return Counts(len(selected), 0)


def _expected(selected: Iterable[Pod], scale: Scale) -> int:
    """How many pods all that manages the selected ones wants together; pods that nothing manages are left out."""
    wanted: dict[str, int] = {}
    for pod in selected:
        found = scale(pod)
        if found is not None:
            wanted[found[0]] = found[1]
        elif controller_of(pod.metadata) is not None:
            raise Uncountable(f'found no controllers for pod "{pod.metadata.name}"')
    return sum(wanted.values())


def unmanaged(budget: PodDisruptionBudget, selected: Iterable[Pod]) -> bool:
    """Whether a budget that counts by what manages its pods selects some that nothing manages."""
    spec = budget.spec
    by_scale = spec.max_unavailable is not None or isinstance(spec.min_available, str)
    return by_scale and any(controller_of(pod.metadata) is None for pod in selected)


def status_of(
    budget: PodDisruptionBudget, selected: Sequence[Pod], scale: Scale, now: datetime
) -> tuple[PodDisruptionBudgetStatus, float | None]:
    """The status that the pods add up to, and the seconds until an evicted pod is counted again."""
    disrupted, wait = _disrupted(budget, selected, now)
    healthy = sum(
        pods.is_ready(pod) and pod.metadata.deletion_timestamp is None and pod.metadata.name not in disrupted
        for pod in selected
    )
    known = budget.status.conditions
    try:
        counts = count(budget, selected, scale)
    except Uncountable as error:
        failed = _condition("False", SYNC_FAILED, str(error), now)
        return (
            PodDisruptionBudgetStatus(
                observed_generation=budget.metadata.generation, disrupted_pods=budget.status.disrupted_pods,
                disruptions_allowed=0, current_healthy=budget.status.current_healthy,
                desired_healthy=budget.status.desired_healthy, expected_pods=budget.status.expected_pods,
                conditions=_with_message(known, failed),
            ),
            wait,
        )  # fmt: skip
    allowed = max(0, healthy - counts.desired) if counts.expected > 0 else 0
    reason = "SufficientPods" if allowed else "InsufficientPods"
    condition = _condition("True" if allowed else "False", reason, "", now)
    return (
        PodDisruptionBudgetStatus(
            observed_generation=budget.metadata.generation, disrupted_pods=dict(disrupted), disruptions_allowed=allowed,
            current_healthy=healthy, desired_healthy=counts.desired, expected_pods=counts.expected,
            conditions=conditions.with_condition(known, condition),
        ),
        wait,
    )  # fmt: skip


def _disrupted(
    budget: PodDisruptionBudget, selected: Iterable[Pod], now: datetime
) -> tuple[Mapping[str, datetime], float | None]:
    """Pods that were let go and whose deletion has not begun yet (buildDisruptedPodMap)."""
    left: dict[str, datetime] = {}
    for pod in selected:
        since = budget.status.disrupted_pods.get(pod.metadata.name)
        if since is not None and pod.metadata.deletion_timestamp is None and since + DELETION_TIMEOUT > now:
            left[pod.metadata.name] = since
    waits = ((since + DELETION_TIMEOUT - now).total_seconds() for since in left.values())
    return left, min(waits, default=None)


def _with_message(known: tuple[Condition, ...], failed: Condition) -> tuple[Condition, ...]:
    """``known`` with the failure, and its newest words where it had failed already."""
    return tuple(
        conditions.replaced(c, message=failed.message) if c.type == ALLOWED else c
        for c in conditions.with_condition(known, failed)
    )


def _condition(status: str, reason: str, message: str, now: datetime) -> Condition:
    return Condition(type=ALLOWED, status=status, reason=reason, message=message, last_transition_time=now)


def decide(budget: PodDisruptionBudget, status: PodDisruptionBudgetStatus) -> Patch | None:
    """The write of a status, if it is not the one that the budget has."""
    was = budget.status
    if status == was:
        return None
    body: JSON = {
        "observedGeneration": status.observed_generation,
        "disruptionsAllowed": status.disruptions_allowed,
        "currentHealthy": status.current_healthy,
        "desiredHealthy": status.desired_healthy,
        "expectedPods": status.expected_pods,
        "conditions": [conditions.condition_tree(c) | {"observedGeneration": status.observed_generation}
                       | {"message": c.message} for c in status.conditions],
    }  # fmt: skip
    if gone := {name: None for name in was.disrupted_pods if name not in status.disrupted_pods}:
        body["disruptedPods"] = gone
    meta = budget.metadata
    # An eviction that counts the budget down meanwhile must not be undone: the version makes this fail then.
    patch = {"metadata": {"resourceVersion": meta.resource_version}, "status": body}
    return Patch(POD_DISRUPTION_BUDGETS, meta.name, patch, meta.namespace, subresource="status")


class DisruptionController:
    """See the module."""

    name = "disruption"

    def __init__(self, context: Context) -> None:
        self._client, self._clock, self._events = context.client, context.clock, context.events
        self._budgets = context.informers.cache(POD_DISRUPTION_BUDGETS)
        self._pods = context.informers.cache(PODS)
        self._scaled: dict[str, Cache[Any]] = {resource.kind: context.informers.cache(resource) for resource in _SCALED}
        ownership.add_indexes(self._budgets)
        ownership.add_indexes(self._pods)

    def watches(self) -> Sequence[Watch]:
        scaled = (Watch(resource, self._keys_of_scaled) for resource in _SCALED)
        return (Watch(POD_DISRUPTION_BUDGETS, self._keys), Watch(PODS, self._keys_of_pod), *scaled)

    def _keys(self, old: PodDisruptionBudget | None, new: PodDisruptionBudget | None) -> Iterable[Key]:
        if new is not None:
            yield (new.metadata.namespace, new.metadata.name)

    def _keys_of_pod(self, old: Pod | None, new: Pod | None) -> Iterable[Key]:
        if old is not None and new is not None and _seen(old) == _seen(new):
            return
        pod = new or old
        assert pod is not None
        for budget in self._budgets.by_index(ownership.NAMESPACE, pod.metadata.namespace):
            if any(side is not None and selects(budget, side) for side in (old, new)):
                yield (budget.metadata.namespace, budget.metadata.name)

    def _keys_of_scaled(self, old: Any, new: Any) -> Iterable[Key]:
        if old is not None and new is not None and old.spec.replicas == new.spec.replicas:
            return
        obj: Object = new or old
        for budget in self._budgets.by_index(ownership.NAMESPACE, obj.metadata.namespace):
            yield (budget.metadata.namespace, budget.metadata.name)

    async def sync(self, key: Key) -> float | None:
        """See ``Controller.sync``."""
        namespace, name = key
        budget = self._budgets.get(name, namespace)
        if budget is None:
            return None
        selected = [
            pod
            for pod in self._pods.by_index(ownership.NAMESPACE, namespace)
            if not pods.is_finished(pod) and selects(budget, pod)
        ]
        status, wait = status_of(budget, selected, self._scale, self._clock.now())
        if (write := decide(budget, status)) is not None:
            self._tell(budget, status, selected)
            await apply(self._client, [write])
        return wait

    def _tell(self, budget: PodDisruptionBudget, status: PodDisruptionBudgetStatus, selected: Sequence[Pod]) -> None:
        """Events about a status that is news."""
        if not selected:
            self._events.event(budget, "Normal", "NoPods", "No matching pods found")
        for condition in status.conditions:
            if condition.type == ALLOWED and condition.reason == SYNC_FAILED:
                said = f"Failed to calculate the number of expected pods: {condition.message}"
                self._events.event(budget, "Warning", "CalculateExpectedPodCountFailed", said)
        if unmanaged(budget, selected):
            self._events.event(budget, "Warning", "UnmanagedPods", _UNMANAGED)

    def _scale(self, pod: Pod) -> tuple[str, int] | None:
        """What manages the pod at last, a Deployment rather than its ReplicaSet, and how many pods it wants."""
        namespace = pod.metadata.namespace
        managed = self._find(namespace, controller_of(pod.metadata))
        if managed is None:
            return None
        above = self._find(namespace, controller_of(managed.metadata))
        top = above if above is not None else managed
        return top.metadata.uid, top.spec.replicas

    def _find(self, namespace: str, reference: OwnerReference | None) -> Any:
        cache = self._scaled.get(reference.kind) if reference is not None else None
        return None if cache is None else ownership.owner_in(cache, namespace, reference)


def _seen(pod: Pod) -> tuple[object, ...]:
    return (
        pod.metadata.labels, pod.metadata.deletion_timestamp is None, pods.is_ready(pod), pods.is_finished(pod),
        pod.metadata.owner_references,
    )  # fmt: skip
