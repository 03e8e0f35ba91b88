"""What a pod counts as while its resources are being changed in place (KEP-1287).

Pure. After determineContainerReqs and determineContainerLimits of k8s.io/component-helpers/resource: until a resize is
done its pod counts as the largest of what is wanted, what its node has set aside, and what its containers have; one
that its node can never do counts for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from shared.api import quantity
from shared.api.pod import Container, ContainerStatus, Pod, PodSpec, ResourceRequirements
from shared.api.quantity import Quantity

RESIZE_PENDING, RESIZE_IN_PROGRESS = "PodResizePending", "PodResizeInProgress"
DEFERRED, INFEASIBLE, ERROR = "Deferred", "Infeasible", "Error"
"""Reasons of these conditions."""
NOT_REQUIRED, RESTART_CONTAINER = "NotRequired", "RestartContainer"
"""What a container's ``resizePolicy`` says of a resource."""


def is_infeasible(pod: Pod) -> bool:
    """Whether its node has said that it will never have what the pod asks for."""
    return any(c.type == RESIZE_PENDING and c.reason == INFEASIBLE for c in pod.status.conditions)


def counted(pod: Pod) -> PodSpec:
    """The pod's spec with the resources that it counts as; the very spec where nothing differs."""
    known = {
        status.name: status
        for status in (*pod.status.container_statuses, *pod.status.init_container_statuses)
        if status.resources is not None
    }
    if not known:
        return pod.spec
    infeasible = is_infeasible(pod)

    def settle(containers: tuple[Container, ...]) -> tuple[Container, ...]:
        return tuple(_counted(container, known.get(container.name), infeasible) for container in containers)

    containers, inits = settle(pod.spec.containers), settle(pod.spec.init_containers)
    if _same(containers, pod.spec.containers) and _same(inits, pod.spec.init_containers):
        return pod.spec
    return msgspec.structs.replace(pod.spec, containers=containers, init_containers=inits)


def _counted(container: Container, status: ContainerStatus | None, infeasible: bool) -> Container:
    if status is None or status.resources is None:
        return container
    wanted, actual = container.resources, status.resources
    if wanted == actual and (not status.allocated_resources or status.allocated_resources == wanted.requests):
        return container
    requests = _largest(actual.requests, status.allocated_resources)
    limits: Mapping[str, Quantity] = actual.limits
    if not infeasible:
        requests, limits = _largest(wanted.requests, requests), _largest(wanted.limits, limits)
    counts = ResourceRequirements(requests=dict(requests), limits=dict(limits))
    return msgspec.structs.replace(container, resources=counts)


def _largest(one: Mapping[str, Quantity], other: Mapping[str, Quantity]) -> Mapping[str, Quantity]:
    found = dict(one)
    for name, amount in other.items():
        if name not in found or quantity.parse(amount) > quantity.parse(found[name]):
            found[name] = amount
    return found


def _same(new: tuple[Container, ...], old: tuple[Container, ...]) -> bool:
    return all(one is other for one, other in zip(new, old, strict=True))
