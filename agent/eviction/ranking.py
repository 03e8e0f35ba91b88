"""Which pod goes first when a host is short of something, and what it is told. Pure.

Order and words are the kubelet's (pkg/kubelet/eviction/helpers.go; https://kubernetes.io/docs/concepts/
scheduling-eviction/node-pressure-eviction/#pod-selection-for-kubelet-eviction).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from agent.pods.observed import is_sidecar
from agent.pods.phase import TERMINAL
from agent.pods.resources import BEST_EFFORT, qos_class
from agent.thresholds import IMAGE_DISK, IMAGE_INODES, MEMORY, NODE_DISK, NODE_INODES, PROCESSES, Shortage
from shared.api import quantity
from shared.api.pod import Container, Pod

CRITICAL_PRIORITY = 2_000_000_000
"""Pods from here on are never evicted (scheduling.SystemCriticalPriority)."""

MEMORY_TAINT = "node.kubernetes.io/memory-pressure"

ORDER = (MEMORY, PROCESSES, NODE_DISK, IMAGE_DISK, NODE_INODES, IMAGE_INODES)
"""Signals, the first of which is acted on first: memory, as the kernel would act otherwise."""
DISKS = (NODE_DISK, IMAGE_DISK, NODE_INODES, IMAGE_INODES)
_RESOURCES = {
    MEMORY: "memory", PROCESSES: "pids", NODE_DISK: "ephemeral-storage", IMAGE_DISK: "ephemeral-storage",
    NODE_INODES: "inodes", IMAGE_INODES: "inodes",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Use:
    """What a pod uses of a resource, by container; of the whole pod where that is more than their sum."""

    pod: Pod
    containers: tuple[tuple[str, int], ...] = ()
    besides: int = 0

    @property
    def total(self) -> int:
        return sum(amount for _, amount in self.containers) + self.besides


def may_go(pod: Pod) -> bool:
    """Whether a pod may be evicted at all."""
    return (
        pod.spec.priority < CRITICAL_PRIORITY
        and pod.metadata.deletion_timestamp is None
        and pod.status.phase not in TERMINAL
    )


def may_come(pod: Pod, conditions: Collection[str]) -> bool:
    """Whether a pod that was bound to this node is taken in while it has ``conditions`` (eviction_manager.go, Admit):
    when only memory is short all but those that ask for none, else critical ones alone."""
    if not conditions or pod.spec.priority >= CRITICAL_PRIORITY:
        return True
    if set(conditions) != {"MemoryPressure"}:
        return False
    return qos_class(pod) != BEST_EFFORT or any(
        toleration.effect in ("", "NoSchedule")
        and (toleration.key == MEMORY_TAINT or (not toleration.key and toleration.operator == "Exists"))
        for toleration in pod.spec.tolerations
    )


def refusal(conditions: Collection[str]) -> str:
    """What a pod is told that may not come."""
    return f"The node had condition: [{' '.join(sorted(conditions))}]. "


def ranked(uses: Iterable[Use], signal: str) -> list[Use]:
    """Pods in the order in which they go: those above their request first, then by priority, then by how far above."""
    resource = _RESOURCES[signal]

    def place(use: Use) -> tuple[bool, int, int]:
        over = use.total - requested(use.pod, resource)
        return over <= 0, use.pod.spec.priority, -over

    return sorted((use for use in uses if may_go(use.pod)), key=place)


def requested(pod: Pod, resource: str) -> int:
    """What the pod's lasting containers ask for, in bytes or pieces; nothing of what cannot be asked for."""
    lasting = (*pod.spec.containers, *(c for c in pod.spec.init_containers if is_sidecar(c)))
    return sum(_requested(container, resource) for container in lasting)


def _requested(container: Container, resource: str) -> int:
    found = container.resources.requests.get(resource)
    return quantity.value(found) if found is not None else 0


def message(use: Use, shortage: Shortage) -> str:
    """What the pod's status says of its end."""
    resource = _RESOURCES[shortage.signal]
    counted = resource in ("pids", "inodes")

    def shown(amount: int) -> str:
        return str(amount) if counted else f"{amount >> 10}Ki"

    text = (
        f"The node was low on resource: {resource}. Threshold quantity: {shown(shortage.threshold)}, "
        f"available: {shown(shortage.available)}. "
    )
    asked = {container.name: _requested(container, resource) for container in use.pod.spec.containers}
    for name, amount in use.containers:
        request = asked.get(name, 0)
        if amount > request:
            text += (
                f"Container {name} was using {shown(amount)}, request is {shown(request) if request else 0}, has "
                f"larger consumption of {resource}. "
            )
    return text
