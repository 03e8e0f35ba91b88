"""Changes of a pod's resources in place: what is set aside for it, whether it could have more, what is told of it.

Pure. Rules and texts are those of pkg/kubelet/allocation, pkg/kubelet/events/resize.go and the kubelet's status
(convertContainerStatusResources in pkg/kubelet/kubelet_pods.go), KEP-1287.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

import msgspec

from agent.pods.observed import Observed, has, is_sidecar
from agent.pods.resources import CPU_PERIOD, GUARANTEED, container_resources, qos_class
from agent.pods.restarts import RESIZED
from agent.runtime.base import ContainerInfo, State
from shared.api import quantity
from shared.api.meta import JSON
from shared.api.pod import Container, Pod, ResourceRequirements
from shared.api.quantity import Quantity
from shared.api.resizing import DEFERRED, INFEASIBLE, RESTART_CONTAINER
from shared.quota import pods


@dataclass(frozen=True, slots=True)
class Amounts:
    """CPU in thousandths of a core, memory in bytes."""

    cpu: int = 0
    memory: int = 0

    def __add__(self, other: Amounts) -> Amounts:
        return Amounts(self.cpu + other.cpu, self.memory + other.memory)


def requested(pod: Pod) -> Amounts:
    """What the pod takes of its node."""
    wanted = pods.requests(pod.spec)
    return Amounts(quantity.milli(wanted.get("cpu", "0")), quantity.value(wanted.get("memory", "0")))


def with_resources_of(pod: Pod, held: Pod) -> Pod:
    """The pod with the resources that ``held`` has; the very pod where it has them."""
    spec = pod.spec
    known = {container.name: container for container in (*held.spec.containers, *held.spec.init_containers)}

    def settle(containers: tuple[Container, ...]) -> tuple[Container, ...]:
        return tuple(
            msgspec.structs.replace(container, resources=known[container.name].resources)
            if container.name in known
            else container
            for container in containers
        )

    settled = msgspec.structs.replace(
        spec,
        containers=settle(spec.containers),
        init_containers=settle(spec.init_containers),
        resources=held.spec.resources,
    )
    return pod if settled == spec else msgspec.structs.replace(pod, spec=settled)


def hindrance(wanted: Amounts, others: Amounts, node: Amounts) -> tuple[str, str]:
    """Why a node that has ``node``, and has set ``others`` aside for other pods, does not give what is wanted: the
    reason and the message, both empty when it does."""
    if wanted.memory > node.memory or wanted.cpu > node.cpu:
        what = f"memory, requested: {wanted.memory}, capacity: {node.memory}"
        if wanted.memory <= node.memory:
            what = f"cpu, requested: {wanted.cpu}, capacity: {node.cpu}"
        return INFEASIBLE, f"Node didn't have enough capacity: {what}"
    for name, asked, used, offered in (
        ("cpu", wanted.cpu, others.cpu, node.cpu),
        ("memory", wanted.memory, others.memory, node.memory),
    ):
        if asked > offered - used:
            text = f"Node didn't have enough resource: {name}, requested: {asked}, used: {used}, capacity: {offered}"
            return DEFERRED, text
    return "", ""


def urgency(desired: Pod, held: Pod) -> tuple[bool, int, bool]:
    """The order in which resizes that wait are looked at: first what takes no more than before, then by priority, then
    Guaranteed pods."""
    wanted, had = requested(desired), requested(held)
    more = wanted.cpu > had.cpu or wanted.memory > had.memory
    return (more, -desired.spec.priority, qos_class(desired) != GUARANTEED)


# --- containers that are given them


def needs_restart(container: Container, info: ContainerInfo) -> bool:
    """Whether the container wants to be restarted for what changes of its resources."""
    wanted, actual = container_resources(container), info.resources
    changed = set()
    if (wanted.cpu_shares, wanted.cpu_quota) != (actual.cpu_shares, actual.cpu_quota):
        changed.add("cpu")
    if wanted.memory_bytes != actual.memory_bytes:
        changed.add("memory")
    policies = {policy.resource_name: policy.restart_policy for policy in container.resize_policy}
    return any(policies.get(name) == RESTART_CONTAINER for name in changed)


def is_done(pod: Pod, seen: Observed) -> bool:
    """Whether no container is still to be given its resources."""
    for container in (*pod.spec.init_containers, *pod.spec.containers):
        latest = seen.latest(container.name)
        if latest is None:
            continue
        if latest.state is State.RUNNING:
            if not has(latest, container_resources(container), seen):
                return False
        elif seen.killed.get(latest.id) == RESIZED:
            return False
    return True


# --- what is told


def told_resources(container: Container, latest: ContainerInfo, seen: Observed) -> JSON:
    """``resources`` of a container's status: what is set aside for it, and of a running one what it has in fact."""
    found: JSON = {
        name: dict(amounts)
        for name, amounts in (("limits", container.resources.limits), ("requests", container.resources.requests))
        if amounts
    }
    wanted, actual = container_resources(container), latest.resources
    if latest.state is not State.RUNNING or has(latest, wanted, seen):
        return found
    if actual.cpu_shares != wanted.cpu_shares:
        milli = Decimal(actual.cpu_shares * 1000 // 1024) / 1000
        _put(found, "requests", "cpu", quantity.in_form_of("1m", milli))
    if actual.cpu_quota != wanted.cpu_quota:
        cores = Decimal(actual.cpu_quota) / CPU_PERIOD
        _put(found, "limits", "cpu", quantity.in_form_of("1m", cores) if actual.cpu_quota else None)
    if actual.memory_bytes != wanted.memory_bytes:
        limit = quantity.in_form_of("1Mi", Decimal(actual.memory_bytes)) if actual.memory_bytes else None
        _put(found, "limits", "memory", limit)
    return found


def _put(resources: JSON, which: str, name: str, amount: Quantity | None) -> None:
    if amount is not None:
        resources.setdefault(which, {})[name] = amount
    else:
        resources.get(which, {}).pop(name, None)


def summary(prefix: str, pod: Pod, generation: int, error: str = "") -> str:
    """The text of an event: ``prefix``, and the resources of the pod's containers."""
    resources: JSON = {}
    inits = [container for container in pod.spec.init_containers if is_sidecar(container)]
    for name, containers in (("initContainers", inits), ("containers", pod.spec.containers)):
        if listed := [{"name": each.name, "resources": _shown(each.resources)} for each in containers]:
            resources[name] = listed
    resources["generation"] = generation
    if error:
        resources["error"] = error
    return f"{prefix}: {json.dumps(resources, separators=(',', ':'))}"


def _shown(resources: ResourceRequirements) -> JSON:
    parts: Iterable[tuple[str, dict[str, Quantity]]]
    parts = (("limits", resources.limits), ("requests", resources.requests))
    return {name: dict(sorted(amounts.items())) for name, amounts in parts if amounts}
