"""What a Node object says: pure functions from what was observed to the JSON that is written.

Reasons and words of the conditions are a kubelet's (pkg/kubelet/nodestatus/setters.go), which tools look for; what is
short is ``thresholds``' to say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from agent.host import HostFacts, Readings
from agent.runtime.base import EngineInfo, Image
from agent.thresholds import MEMORY, NODE_DISK, Reserves
from shared.api.core import Node
from shared.api.meta import JSON, timestamp

READY = "Ready"
MAX_IMAGES, MAX_NAMES = 50, 5
"""Of a node's status: the kubelet's nodeStatusMaxImages, and MaxNamesPerImageInNodeStatus."""

KUBERNETES_VERSION = "v1.36.0"
"""The version of the Kubernetes API that we follow."""

_ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64", "armv7l": "arm"}


@dataclass(frozen=True, slots=True)
class Observed:
    """All that a node's status is made of. ``engine`` is None while the engine has never answered;
    ``engine_problem`` and ``network_problem`` are empty when all is well."""

    host: HostFacts
    readings: Readings
    engine: EngineInfo | None
    engine_problem: str
    network_problem: str
    addresses: tuple[tuple[str, str], ...]
    max_pods: int = 110
    agent_version: str = "0"
    reserves: Reserves = Reserves()
    pressed: frozenset[str] = frozenset()
    """Conditions such as MemoryPressure that are so now, or were a short while ago."""
    images: tuple[Image, ...] = ()
    shutting_down: bool = False


@dataclass(frozen=True, slots=True)
class Previous:
    """What the server has: status and lastTransitionTime of each condition, types of addresses, and what else there is
    of the node by name, which an administrator says (extended resources)."""

    conditions: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    address_types: frozenset[str] = frozenset()
    extended: Mapping[str, str | None] = field(default_factory=dict)


def architecture(machine: str) -> str:
    """Go's name of a machine type, as ``kubernetes.io/arch`` wants it."""
    return _ARCHITECTURES.get(machine.lower(), machine.lower())


def node_labels(name: str, observed: Observed, extra: Mapping[str, str]) -> dict[str, str]:
    """The labels that a kubelet sets, and the user's, which do not override them."""
    labels = {**extra, "kubernetes.io/hostname": name}
    if observed.engine is not None:
        labels["kubernetes.io/os"] = observed.engine.os or "linux"
        labels["kubernetes.io/arch"] = architecture(observed.engine.architecture)
    return labels


def new_node(name: str, labels: Mapping[str, str]) -> JSON:
    """The object that registers a node; its status follows."""
    return {"kind": "Node", "apiVersion": "v1", "metadata": {"name": name, "labels": dict(labels)}, "spec": {}}


def previous_of(node: Node) -> Previous:
    """What the server has."""
    return Previous(
        {
            c.type: (c.status, timestamp(c.last_transition_time) if c.last_transition_time else "")
            for c in node.status.conditions
        },
        frozenset(address.type for address in node.status.addresses),
        extended_resources(node),
    )


def extended_resources(node: Node) -> dict[str, str | None]:
    """Those that are no resource of Kubernetes' own: all of such a capacity is for pods, as with a kubelet, and None
    stands for one that is no more (pkg/kubelet/nodestatus/setters.go; IsExtendedResourceName in
    pkg/apis/core/v1/helper)."""
    gone: dict[str, str | None] = {name: None for name in node.status.allocatable if _is_extended(name)}
    return gone | {name: str(amount) for name, amount in node.status.capacity.items() if _is_extended(name)}


def _is_extended(name: str) -> bool:
    return "/" in name and "kubernetes.io/" not in name and not name.startswith("requests.")


def status(observed: Observed, previous: Previous, now: datetime) -> JSON:
    """``status`` of the Node, whole; for a strategic merge patch.

    ``lastHeartbeatTime`` is in every condition: leave it out (``without_times``) to see whether anything changed.
    """
    addresses: list[JSON] = [{"type": type, "address": address} for type, address in observed.addresses]
    if previous.address_types - {type for type, _ in observed.addresses}:
        addresses.append({"$patch": "replace"})  # merged by type, one that is gone would stay for ever
    found: JSON = {
        "conditions": conditions(observed, previous, now),
        "addresses": addresses,
        "nodeInfo": _node_info(observed),
        "images": images(observed.images),
    }
    if observed.engine is not None:
        found["capacity"] = capacity(observed.engine, observed.readings, observed.max_pods)
        offered = allocatable(observed.engine, observed.readings, observed.max_pods, observed.reserves)
        found["allocatable"] = {**previous.extended, **offered}
    return found


def conditions(observed: Observed, previous: Previous, now: datetime) -> list[JSON]:
    """The four conditions that an agent reports."""
    facts: Iterable[tuple[str, str, str]] = (
        ("MemoryPressure", "Memory", "memory available"),
        ("DiskPressure", "Disk", "disk pressure"),
        ("PIDPressure", "PID", "PID available"),
    )
    found = []
    for type, what, words in facts:
        pressed = type in observed.pressed
        if what == "Disk":
            reason = "KubeletHasDiskPressure" if pressed else "KubeletHasNoDiskPressure"
            message = f"kubelet has {'' if pressed else 'no '}{words}"
        else:
            reason = f"KubeletHas{'Insufficient' if pressed else 'Sufficient'}{what}"
            message = f"kubelet has {'insufficient' if pressed else 'sufficient'} {words}"
        found.append((type, "True" if pressed else "False", reason, message))
    problems = []
    if observed.engine_problem:
        problems.append(f"container runtime is down: {observed.engine_problem}")
    elif observed.engine is None:
        problems.append("container runtime status check may not have completed yet")
    if observed.network_problem:
        problems.append(f"container runtime network not ready: {observed.network_problem}")
    if observed.shutting_down:
        problems.append("node is shutting down")
    ready = not problems
    message = "kubelet is posting ready status" if ready else ", ".join(problems)
    found.append((READY, "True" if ready else "False", "KubeletReady" if ready else "KubeletNotReady", message))
    stamp = timestamp(now)
    return [
        {
            "type": type,
            "status": state,
            "reason": reason,
            "message": message,
            "lastHeartbeatTime": stamp,
            "lastTransitionTime": _transition(previous, type, state) or stamp,
        }
        for type, state, reason, message in found
    ]


def without_times(status: JSON) -> JSON:
    """The status without what changes with every look at the clock, to compare."""
    times = ("lastHeartbeatTime", "lastTransitionTime")
    return status | {"conditions": [{k: v for k, v in each.items() if k not in times} for each in status["conditions"]]}


def ready_status(status: JSON) -> str:
    """The status of the Ready condition in a status."""
    return str(next(each["status"] for each in status["conditions"] if each["type"] == READY))


def capacity(engine: EngineInfo, readings: Readings, max_pods: int) -> dict[str, str]:
    """What the host has."""
    found = {"cpu": str(engine.cpus), "memory": f"{engine.memory_bytes // 1024}Ki", "pods": str(max_pods)}
    if readings.imagefs.total >= 0:
        found["ephemeral-storage"] = f"{readings.imagefs.total // 1024}Ki"
    return found


def allocatable(engine: EngineInfo, readings: Readings, max_pods: int, reserves: Reserves) -> dict[str, str]:
    """What pods may ask for: all but what is kept for the system and as thresholds of eviction."""
    cpu = allocatable_cpu(engine, reserves)
    found = {
        "cpu": f"{cpu}m" if cpu % 1000 else str(cpu // 1000),
        "memory": f"{allocatable_memory(engine, reserves) // 1024}Ki",
        "pods": str(max_pods),
    }
    if (total := readings.imagefs.total) >= 0:
        found["ephemeral-storage"] = str(max(0, total - reserves.kept("ephemeral-storage", NODE_DISK, total)))
    return found


def allocatable_cpu(engine: EngineInfo, reserves: Reserves) -> int:
    """Thousandths of a core."""
    return max(0, 1000 * engine.cpus - reserves.system.get("cpu", 0))


def allocatable_memory(engine: EngineInfo, reserves: Reserves) -> int:
    """Bytes."""
    return max(0, engine.memory_bytes - reserves.kept("memory", MEMORY, engine.memory_bytes))


def images(present: Iterable[Image]) -> list[JSON]:
    """The largest images with their names, digests first (setters.go, nodestatus.Images)."""
    named = sorted((image for image in present if image.tags or image.digests), key=lambda i: (-i.size_bytes, i.id))
    return [
        {"names": [*image.digests, *image.tags][:MAX_NAMES], "sizeBytes": image.size_bytes}
        for image in named[:MAX_IMAGES]
    ]


def _transition(previous: Previous, type: str, state: str) -> str:
    """When the condition came to ``state``, if it was that before; empty when it is new."""
    was, since = previous.conditions.get(type, ("", ""))
    return since if was == state else ""


def _node_info(observed: Observed) -> JSON:
    engine, host = observed.engine, observed.host
    return {
        "machineID": host.machine_id,
        "systemUUID": host.system_uuid or host.machine_id,
        "bootID": host.boot_id,
        "kernelVersion": engine.kernel if engine else "",
        "osImage": engine.os_image if engine else "",
        "containerRuntimeVersion": f"docker://{engine.version}" if engine else "",
        "kubeletVersion": f"{KUBERNETES_VERSION}+longboat.{observed.agent_version}",
        "kubeProxyVersion": "",
        "operatingSystem": (engine.os if engine else "") or "linux",
        "architecture": architecture(engine.architecture) if engine else "",
    }
