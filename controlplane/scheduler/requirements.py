"""What a pod asks of a node, as one comparable value.

Pure. Pods with equal requirements are decided together, so everything that filters and scores look at is in
here, and nothing else is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from shared.api import quantity
from shared.api.meta import controller_of
from shared.api.pod import Container, NodeSelector, Pod, PreferredSchedulingTerm, Toleration
from shared.api.quantity import Quantity
from shared.api.resizing import counted

CPU, MEMORY, PODS, EPHEMERAL_STORAGE = "cpu", "memory", "pods", "ephemeral-storage"

DEFAULT_CPU, DEFAULT_MEMORY = 100, 200 << 20
"""What a container without a request counts as in scores (millicores, bytes): GetNonzeroRequests of
k8s.io/kubernetes/pkg/scheduler/util. In filters it counts as nothing."""

LARGEST = 1 << 49
"""A request is cut to this (half a peta), so that sums stay within 64 bits; allocatable is cut to just below."""

_POD_LEVEL = (CPU, MEMORY, "hugepages-")

Port = tuple[str, str, int]
"""host IP (0.0.0.0 for all), protocol, port."""


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Requirements:
    """Amounts are millicores for cpu and whole units (bytes, devices) for everything else."""

    requests: tuple[tuple[str, int], ...] = ((PODS, 1),)
    """By resource name, without zeros; always with one of ``pods``."""
    scored_cpu: int = DEFAULT_CPU
    scored_memory: int = DEFAULT_MEMORY
    node_selector: tuple[tuple[str, str], ...] = ()
    required: NodeSelector | None = None
    preferred: tuple[PreferredSchedulingTerm, ...] = ()
    tolerations: tuple[Toleration, ...] = ()
    ports: tuple[Port, ...] = ()
    owner: str = ""
    """uid of the managing controller, whose pods are spread."""


def of_pod(pod: Pod) -> Requirements:
    """The requirements of a pod. Raises ValueError on a quantity that validation would have refused."""
    spec = pod.spec
    requests = pod_requests(pod)
    scored = pod_requests(pod, {CPU: DEFAULT_CPU, MEMORY: DEFAULT_MEMORY})
    affinity = spec.affinity.node_affinity if spec.affinity is not None else None
    ports: list[Port] = []
    sidecars = (c for c in spec.init_containers if c.restart_policy == "Always")
    for container in (*spec.containers, *sidecars):
        for port in container.ports:
            if port.host_port > 0:
                ports.append((port.host_ip or "0.0.0.0", port.protocol, port.host_port))  # noqa: S104 - a comparison
    owner = controller_of(pod.metadata)
    return Requirements(
        requests=(*sorted((name, min(amount, LARGEST)) for name, amount in requests.items() if amount > 0), (PODS, 1)),
        scored_cpu=min(scored.get(CPU, 0), LARGEST),
        scored_memory=min(scored.get(MEMORY, 0), LARGEST),
        node_selector=tuple(sorted(spec.node_selector.items())),
        required=affinity.required_during_scheduling_ignored_during_execution if affinity else None,
        preferred=affinity.preferred_during_scheduling_ignored_during_execution if affinity else (),
        tolerations=spec.tolerations,
        ports=tuple(ports),
        owner=owner.uid if owner is not None else "",
    )


def pod_requests(pod: Pod, missing: Mapping[str, int] | None = None) -> dict[str, int]:
    """Resources that a pod needs at once, as PodRequests of k8s.io/component-helpers/resource computes them.

    Containers run together, with the sidecars (init containers that restart always); before that each other init
    container runs with the sidecars declared before it. The larger counts, plus the overhead. ``missing`` is what
    a container counts as for a resource that it does not name.
    """
    spec = counted(pod)
    missing = missing or {}
    total = _sum(_requests(container, missing) for container in spec.containers)
    sidecars: dict[str, int] = {}
    starting: dict[str, int] = {}
    for container in spec.init_containers:
        wanted = _sum((_requests(container, missing), sidecars))
        if container.restart_policy == "Always":
            total = _sum((total, _requests(container, missing)))
            sidecars = wanted
        for name, amount in wanted.items():
            starting[name] = max(starting.get(name, 0), amount)
    for name, amount in starting.items():
        total[name] = max(total.get(name, 0), amount)
    if spec.resources is not None:
        total.update({n: a for n, a in amounts(spec.resources.requests).items() if n.startswith(_POD_LEVEL)})
    return _sum((total, amounts(spec.overhead)))


def amounts(quantities: Mapping[str, Quantity]) -> dict[str, int]:
    """A resource list as integers, see ``Requirements``. Raises ValueError."""
    return {name: _amount(name, value) for name, value in quantities.items()}


def _requests(container: Container, missing: Mapping[str, int]) -> Mapping[str, int]:
    found = amounts(container.resources.requests)
    return {**missing, **found} if missing else found


def _sum(parts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for part in parts:
        for name, amount in part.items():
            total[name] = total.get(name, 0) + amount
    return total


@lru_cache(maxsize=4096)
def _amount(name: str, value: Quantity) -> int:
    return quantity.milli(value) if name == CPU else quantity.value(value)
