"""Which port of which pod a proxied request goes to. Pure, on the caches' objects.

The rules and words are those of pkg/registry/core/pod/strategy.go and pkg/registry/core/service/storage
(ResourceLocation), and of k8s.io/apimachinery/pkg/util/net (SplitSchemeNamePort).
"""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Callable
from dataclasses import dataclass

from shared.api.core import EndpointAddress, Endpoints, Service
from shared.api.errors import BadRequest, ServiceUnavailable
from shared.api.pod import Pod
from shared.dial import Dial

_DEFAULT_PORTS = {"": 80, "http": 80, "https": 443}

Pods = Callable[[str, str], Pod | None]
"""A pod by namespace and name."""


@dataclass(frozen=True, slots=True)
class Location:
    """``host`` is the address and port, as they stand in a URL."""

    tls: bool
    node: str
    host: str
    target: Dial


@dataclass(frozen=True, slots=True)
class Name:
    """``name``, ``name:port``, or ``scheme:name:port``; what is not said is empty."""

    scheme: str
    name: str
    port: str


def parse_name(text: str, what: str) -> Name:
    """Take apart what a path names. ``what`` is "pod", "service" or "node". Raises BadRequest."""
    parts = text.split(":")
    if len(parts) <= 2:
        found = Name("", *parts, *("",) * (2 - len(parts)))
    elif len(parts) == 3:
        found = Name(*parts)
    else:
        found = Name("", "", "")
    if not found.name or found.scheme not in _DEFAULT_PORTS:
        raise BadRequest(f'invalid {what} request "{text}"')
    return found


def of_pod(asked: Name, pod: Pod) -> Location:
    """The port said, else the first that the pod's containers declare, else the scheme's. Raises BadRequest,
    ServiceUnavailable."""
    port = asked.port or next(
        (str(port.container_port) for container in pod.spec.containers for port in container.ports), ""
    )
    if not may_be_dialled(pod.status.pod_ip):
        raise BadRequest("address not allowed")
    return _location(asked.scheme, pod, pod.status.pod_ip, port)


def of_service(
    asked: Name, service: Service | None, endpoints: Endpoints | None, pods: Pods, rng: random.Random
) -> Location:
    """A ready endpoint of the port that is named, or numbered, so. Raises ServiceUnavailable."""
    port = asked.port
    if port.isdigit():
        numbered = [each.name for each in (service.spec.ports if service else ()) if each.port == int(port)]
        if not numbered:
            raise ServiceUnavailable(f'no service port {int(port)} found for service "{asked.name}"')
        port = numbered[0]
    found: list[tuple[EndpointAddress, int]] = [
        (address, each.port)
        for subset in (endpoints.subsets if endpoints else ())
        for each in subset.ports
        if each.name == port
        for address in subset.addresses
    ]
    rng.shuffle(found)
    for address, number in found:
        if (pod := _pod_at(address, pods)) is not None:
            return _location(asked.scheme, pod, address.ip, str(number))
    raise ServiceUnavailable(f'no endpoints available for service "{asked.name}"')


def _pod_at(address: EndpointAddress, pods: Pods) -> Pod | None:
    """The pod that has the address, as the address says and the pod too: nobody is led elsewhere by an Endpoints."""
    reference = address.target_ref or {}
    if reference.get("kind") != "Pod" or not may_be_dialled(address.ip):
        return None
    pod = pods(reference.get("namespace", ""), reference.get("name", ""))
    if pod is None or address.ip not in (pod.status.pod_ip, *(each.ip for each in pod.status.pod_ips)):
        return None
    return pod


def may_be_dialled(address: str) -> bool:
    """Whether it is an address of somebody else (k8s.io/apimachinery's IsGlobalUnicast)."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    return not (found.is_loopback or found.is_link_local or found.is_multicast or found.is_unspecified)


def _location(scheme: str, pod: Pod, address: str, port: str) -> Location:
    number = int(port) if port.isdigit() else 0 if port else _DEFAULT_PORTS[scheme]
    if not 0 < number < 65536:
        raise ServiceUnavailable(f"error trying to reach service: dial tcp: lookup tcp/{port}: unknown port")
    meta = pod.metadata
    host = f"[{address}]:{number}" if ":" in address else f"{address}:{number}"
    return Location(scheme == "https", pod.spec.node_name, host, Dial(meta.namespace, meta.name, meta.uid, number))
