"""Requests and limits as the engine takes them, and the QoS class. Pure.

Rules: pkg/kubelet/cm/helpers_linux.go (MilliCPUToShares, MilliCPUToQuota), pkg/kubelet/qos/policy.go,
pkg/apis/core/v1/helper/qos/qos.go.
"""

from __future__ import annotations

from collections.abc import Mapping

from agent.runtime.base import Resources
from shared.api import quantity
from shared.api.pod import Container, Pod
from shared.api.quantity import Quantity

CPU_PERIOD = 100_000
"""Microseconds of the CFS period that quotas are for."""
MIN_QUOTA = 1_000
MIN_SHARES, MAX_SHARES = 2, 262_144
MIN_MEMORY = 6 * 1024 * 1024
"""Docker refuses a lower limit (``linuxMinMemory`` in moby's daemon/daemon_unix.go)."""

GUARANTEED, BURSTABLE, BEST_EFFORT = "Guaranteed", "Burstable", "BestEffort"
GUARANTEED_OOM_SCORE, BEST_EFFORT_OOM_SCORE = -997, 1000


def cpu_milli(resources: Mapping[str, Quantity]) -> int:
    """Thousandths of a core; 0 when unset."""
    return quantity.milli(resources["cpu"]) if "cpu" in resources else 0


def memory_bytes(resources: Mapping[str, Quantity]) -> int:
    """Bytes; 0 when unset."""
    return quantity.value(resources["memory"]) if "memory" in resources else 0


def cpu_shares(container: Container) -> int:
    """cgroup CPU shares for the request (the limit where only that is set), between 2 and 262144."""
    resources = container.resources
    milli = cpu_milli(resources.requests if "cpu" in resources.requests else resources.limits)
    return max(MIN_SHARES, min(MAX_SHARES, milli * 1024 // 1000)) if milli else MIN_SHARES


def cpu_quota(container: Container) -> int:
    """Microseconds per period for the CPU limit; 0 for none."""
    milli = cpu_milli(container.resources.limits)
    return max(MIN_QUOTA, milli * CPU_PERIOD // 1000) if milli else 0


def container_resources(container: Container) -> Resources:
    """What the engine is asked to give the container."""
    limit = memory_bytes(container.resources.limits)
    return Resources(cpu_shares(container), cpu_quota(container), max(MIN_MEMORY, limit) if limit else 0)


def qos_class(pod: Pod) -> str:
    """Guaranteed when every container has equal requests and limits of CPU and memory, BestEffort without any; a pod
    with resources of its own goes by those (KEP-2837)."""
    any_set, guaranteed = False, True
    every = [container.resources for container in (*pod.spec.containers, *pod.spec.init_containers)]
    if pod.spec.resources is not None and (pod.spec.resources.requests or pod.spec.resources.limits):
        every = [pod.spec.resources]
    for resources in every:
        limits, requests = resources.limits, resources.requests
        for read in (cpu_milli, memory_bytes):
            limit = read(limits)
            request = read(requests) or limit
            any_set = any_set or bool(limit or request)
            if not limit or limit != request:
                guaranteed = False
    if not any_set:
        return BEST_EFFORT
    return GUARANTEED if guaranteed else BURSTABLE


def oom_score_adj(pod: Pod, container: Container, node_memory_bytes: int) -> int:
    """Who is killed first when memory runs out, -997 (last) to 1000 (first)."""
    kind = qos_class(pod)
    if kind == GUARANTEED:
        return GUARANTEED_OOM_SCORE
    if kind == BEST_EFFORT or node_memory_bytes <= 0:
        return BEST_EFFORT_OOM_SCORE
    resources = container.resources
    request = memory_bytes(resources.requests if "memory" in resources.requests else resources.limits)
    score = 1000 - 1000 * request // node_memory_bytes
    return max(1000 + GUARANTEED_OOM_SCORE, min(BEST_EFFORT_OOM_SCORE - 1, score))
