"""What a pod asks for as a whole, and what it counts as against quotas.

Pure. After pkg/quota/v1/evaluator/core/pods.go and k8s.io/component-helpers/resource.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from functools import reduce

from shared.api import quantity
from shared.api.pod import Container, Pod, PodAffinityTerm, PodSpec
from shared.api.policies import ScopeTerm
from shared.api.quantity import Quantity
from shared.api.resizing import counted
from shared.quota import amounts
from shared.quota.amounts import Amounts

COUNT = "count/pods"
_PREFIX, _HUGE = "requests.", "hugepages-"
_NAMES = frozenset(
    (COUNT, "pods", *(f"{kind}{name}" for kind in ("", _PREFIX, "limits.")
                      for name in ("cpu", "memory", "ephemeral-storage")))
)  # fmt: skip
_DEMANDED = ("cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory")
"""Where a quota limits one of these, every container has to say how much it wants."""

_POD_LEVEL = ("cpu", "memory", _HUGE)


def requests(spec: PodSpec) -> Amounts:
    """What the pod needs at once, its overhead with it (PodRequests)."""
    return amounts.add(_together(spec, "requests"), spec.overhead)


def limits(spec: PodSpec) -> Amounts:
    """What the pod may use at most, for resources that are limited at all (PodLimits)."""
    total = _together(spec, "limits")
    for name, amount in spec.overhead.items():
        if name in total and quantity.parse(total[name]):
            total[name] = quantity.add(total[name], amount)
    return total


def _together(spec: PodSpec, which: str) -> Amounts:
    """Containers run together with the sidecars; each other init container with the sidecars declared before it."""

    def of(container: Container) -> Mapping[str, Quantity]:
        found: Mapping[str, Quantity] = getattr(container.resources, which)
        return found

    total: Amounts = reduce(amounts.add, (of(container) for container in spec.containers), {})
    sidecars: Amounts = {}
    starting: Amounts = {}
    for container in spec.init_containers:
        wanted = amounts.add(of(container), sidecars)
        if container.restart_policy == "Always":
            total, sidecars = amounts.add(total, of(container)), wanted
        starting = amounts.largest(starting, wanted)
    total = amounts.largest(total, starting)
    if spec.resources is not None:
        level: Mapping[str, Quantity] = getattr(spec.resources, which)
        total |= {name: amount for name, amount in level.items() if name.startswith(_POD_LEVEL)}
    return total


def names(hard: Iterable[str]) -> list[str]:
    """Those of a quota's resources that pods count against."""
    return [
        name
        for name in hard
        if name in _NAMES
        or name.startswith((_HUGE, _PREFIX + _HUGE))
        or (name.startswith(_PREFIX) and "/" in name and "kubernetes.io/" not in name)
    ]


def usage(pod: Pod, now: datetime) -> Amounts:
    """A pod that has ended, or should have by now, is an object still, and nothing more."""
    used: Amounts = {COUNT: "1"}
    if pod.status.phase in ("Failed", "Succeeded") or _overdue(pod, now):
        return used
    spec = counted(pod)
    return used | _compute(requests(spec), limits(spec))


def _overdue(pod: Pod, now: datetime) -> bool:
    """deletionTimestamp has the grace period in it, and Kubernetes adds it once more."""
    when, grace = pod.metadata.deletion_timestamp, pod.metadata.deletion_grace_period_seconds
    return when is not None and grace is not None and now > when + timedelta(seconds=grace)


def _compute(wanted: Mapping[str, Quantity], limited: Mapping[str, Quantity]) -> Amounts:
    found: Amounts = {"pods": "1"}
    for name, amount in wanted.items():
        native = "/" not in name or "kubernetes.io/" in name
        if name in ("cpu", "memory", "ephemeral-storage") or name.startswith(_HUGE):
            found[name] = amount
        if name in found or not native:
            found[_PREFIX + name] = amount
    for name in ("cpu", "memory", "ephemeral-storage"):
        if name in limited:
            found[f"limits.{name}"] = limited[name]
    return found


def missing(limited: Iterable[str], pod: Pod) -> str:
    """What containers must say because a quota limits it: ``cpu for: a,b; memory for: a``; empty when all is said."""
    level = pod.spec.resources
    said = set(_compute(level.requests, level.limits)) if level is not None else set()
    demanded = sorted(set(limited) & set(_DEMANDED) - said)
    lacking: dict[str, list[str]] = {}
    for container in (*pod.spec.containers, *pod.spec.init_containers):
        given = _compute(container.resources.requests, container.resources.limits)
        for name in demanded:
            if name not in given:
                lacking.setdefault(name, []).append(container.name)
    return "; ".join(f"{name} for: {','.join(sorted(who))}" for name, who in sorted(lacking.items()))


def in_scope(term: ScopeTerm, pod: Pod) -> bool:
    """Whether a scope of a quota takes the pod in."""
    match term.scope_name:
        case "Terminating":
            return _terminating(pod)
        case "NotTerminating":
            return not _terminating(pod)
        case "BestEffort":
            return _best_effort(pod)
        case "NotBestEffort":
            return not _best_effort(pod)
        case "PriorityClass":
            return selects(term, pod.spec.priority_class_name)
        case "CrossNamespacePodAffinity":
            return any(t.namespaces or t.namespace_selector is not None for t in _affinity_terms(pod))
        case _:
            return False


def selects(term: ScopeTerm, value: str) -> bool:
    """A scope's term about a class, as a label selector of which the class is the value; none is no label."""
    match term.operator:
        case "Exists":
            return bool(value)
        case "DoesNotExist":
            return not value
        case "In":
            return value in term.values if value else False
        case _:
            return not value or value not in term.values


def _terminating(pod: Pod) -> bool:
    return pod.spec.active_deadline_seconds is not None and pod.spec.active_deadline_seconds >= 0


def _best_effort(pod: Pod) -> bool:
    containers = (*pod.spec.containers, *pod.spec.init_containers)
    return not any(
        quantity.parse(amount)
        for container in containers
        for given in (container.resources.requests, container.resources.limits)
        for name, amount in given.items()
        if name in ("cpu", "memory")
    )


def _affinity_terms(pod: Pod) -> Iterator[PodAffinityTerm]:
    if pod.spec.affinity is None:
        return
    for affinity in (pod.spec.affinity.pod_affinity, pod.spec.affinity.pod_anti_affinity):
        if affinity is not None:
            yield from affinity.required_during_scheduling_ignored_during_execution
            for weighted in affinity.preferred_during_scheduling_ignored_during_execution:
                yield weighted.pod_affinity_term
