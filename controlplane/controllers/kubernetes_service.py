"""The API server as a service of its own cluster: the Service ``kubernetes`` with its endpoints, and the ServiceCIDR
that services get their addresses from.

Creates what is missing, puts ports and endpoints right (without an address that others can use there are none), and
writes nothing else. The rules are those of
k8s.io/kubernetes pkg/controlplane/controller/kubernetesservice and defaultservicecidr, and of
pkg/controlplane/reconcilers. One sync at a time. ``ensure`` is for the start, before anything runs.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from controlplane.controllers.base import Context, Key, Watch
from controlplane.controllers.slices import SERVICE_NAME
from controlplane.controllers.writes import Create, Patch, Write, apply
from shared.api.apps import EndpointSlice
from shared.api.core import Endpoints, Service, ServiceCIDR
from shared.api.errors import NotFound
from shared.api.kinds import ENDPOINT_SLICES, ENDPOINTS, SERVICE_CIDRS, SERVICES, Resource
from shared.api.meta import JSON, Object, timestamp
from shared.client.base import Client
from shared.work.clock import Clock

NAMESPACE, NAME = "default", "kubernetes"
PORT, PORT_NAME = 443, "https"
SKIP_MIRROR = {"endpointslice.kubernetes.io/skip-mirror": "true"}
READY = "Kubernetes default Service CIDR is ready"


@dataclass(frozen=True, slots=True)
class Address:
    """Where the server is reached: the service's own address is the first of ``cidr``; ``host`` is the server's own,
    empty where it has none that others can use, with its ``port``."""

    cidr: ipaddress.IPv4Network
    host: str
    port: int

    @property
    def service(self) -> str:
        return str(self.cidr.network_address + 1)

    @property
    def names(self) -> frozenset[str]:
        """What clients within the cluster may call the server, and its certificate therefore says."""
        inside = (NAME, f"{NAME}.{NAMESPACE}", f"{NAME}.{NAMESPACE}.svc", f"{NAME}.{NAMESPACE}.svc.cluster.local")
        return frozenset((*inside, self.service))


def usable(host: str) -> str:
    """An address that endpoints may have; empty for names, and for loopback, which is everybody's own."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return ""
    return "" if address.is_loopback or address.is_unspecified or address.version != 4 else host


def reachable(advertised: str, listens: str, outward: str) -> str:
    """Where others reach a server, as ``Address.host``: where it says, else at this machine's ``outward`` address
    unless it listens on loopback only."""
    if address := usable(advertised):
        return address
    try:
        only_here = ipaddress.ip_address(listens).is_loopback
    except ValueError:
        only_here = listens == "localhost"
    return "" if only_here else usable(outward)


@dataclass(frozen=True, slots=True)
class Found:
    """The four objects, as far as they are there."""

    service: Service | None
    endpoints: Endpoints | None
    slice: EndpointSlice | None
    cidr: ServiceCIDR | None


def decide(found: Found, address: Address, now: str) -> Iterator[Write]:
    """What is to be written, in this order: the Service gets its address from the range, and none while that goes."""
    if found.cidr is None:
        yield Create(SERVICE_CIDRS, _object(SERVICE_CIDRS, spec={"cidrs": [str(address.cidr)]}))
    if not (_is_going(found.cidr) or _is_ready(found.cidr)):
        condition = {"type": "Ready", "status": "True", "reason": "", "message": READY, "lastTransitionTime": now}
        yield Patch(SERVICE_CIDRS, NAME, {"status": {"conditions": [condition]}}, subresource="status")
    ports = [{"name": PORT_NAME, "port": PORT, "protocol": "TCP", "targetPort": address.port}]
    if found.service is None:
        if _is_going(found.cidr):
            return
        spec = {"type": "ClusterIP", "clusterIP": address.service, "ports": ports}
        yield Create(SERVICES, _object(SERVICES, spec=spec, labels=_LABELS), NAMESPACE)
    elif [(p.name, p.port, p.protocol, p.target_port) for p in found.service.spec.ports] != [
        (PORT_NAME, PORT, "TCP", address.port)
    ]:
        yield Patch(SERVICES, NAME, {"spec": {"ports": ports}}, NAMESPACE)
    yield from _endpoints(found, address) if address.host else _no_endpoints(found)


def _is_going(cidr: ServiceCIDR | None) -> bool:
    """It is the ServiceCIDR controller's then, and comes back when it is gone."""
    return cidr is not None and cidr.metadata.deletion_timestamp is not None


def _is_ready(cidr: ServiceCIDR | None) -> bool:
    return cidr is not None and any(c.type == "Ready" and c.status == "True" for c in cidr.status.conditions)


def _endpoints(found: Found, address: Address) -> Iterator[Write]:
    port = {"name": PORT_NAME, "port": address.port, "protocol": "TCP"}
    subsets = [{"addresses": [{"ip": address.host}], "ports": [port]}]
    have = found.endpoints
    if have is None:
        yield Create(ENDPOINTS, _object(ENDPOINTS, subsets=subsets, labels=SKIP_MIRROR), NAMESPACE)
    elif [([a.ip for a in s.addresses], [(p.name, p.port) for p in s.ports]) for s in have.subsets] != [
        ([address.host], [(PORT_NAME, address.port)])
    ]:
        yield Patch(ENDPOINTS, NAME, {"subsets": subsets}, NAMESPACE)
    fields: JSON = {"endpoints": [{"addresses": [address.host], "conditions": {"ready": True}}], "ports": [port]}
    slice_ = found.slice
    if slice_ is None:
        labels = {SERVICE_NAME: NAME}
        yield Create(ENDPOINT_SLICES, _object(ENDPOINT_SLICES, addressType="IPv4", labels=labels, **fields), NAMESPACE)
    elif ([each.addresses for each in slice_.endpoints], [(p.name, p.port) for p in slice_.ports]) != (
        [(address.host,)], [(PORT_NAME, address.port)],
    ):  # fmt: skip
        yield Patch(ENDPOINT_SLICES, NAME, fields, NAMESPACE)


def _no_endpoints(found: Found) -> Iterator[Write]:
    """Takes back what a start with an address that others could use has written: nobody answers there any more."""
    if found.endpoints is not None and found.endpoints.subsets:
        yield Patch(ENDPOINTS, NAME, {"subsets": None}, NAMESPACE)
    if found.slice is not None and found.slice.endpoints:
        yield Patch(ENDPOINT_SLICES, NAME, {"endpoints": []}, NAMESPACE)


_RESOURCES: tuple[Resource[Any], ...] = (SERVICES, ENDPOINTS, ENDPOINT_SLICES, SERVICE_CIDRS)
_LABELS = {"component": "apiserver", "provider": "kubernetes"}


def _object(resource: Resource[Any], labels: dict[str, str] | None = None, **fields: Any) -> JSON:
    metadata: JSON = {"name": NAME} | ({"namespace": NAMESPACE} if resource.namespaced else {})
    if labels:
        metadata["labels"] = labels
    return {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata, **fields}


async def ensure(client: Client, address: Address, clock: Clock) -> None:
    """Write what is missing; harmless when nothing is. Raises StatusError."""

    async def get(resource: Resource[Any]) -> Any:
        try:
            return await client.get(resource, NAME, NAMESPACE if resource.namespaced else "")
        except NotFound:
            return None

    found = Found(*[await get(each) for each in _RESOURCES])
    for write in decide(found, address, timestamp(clock.now())):
        await apply(client, [write])  # in order: a status follows its object


class KubernetesServiceController:
    """See the module."""

    name = "kubernetes-service"

    def __init__(self, context: Context, address: Address) -> None:
        self._client, self._clock, self._address = context.client, context.clock, address
        for resource in _RESOURCES:
            context.informers.cache(resource)

    def watches(self) -> Sequence[Watch]:
        return tuple(Watch(each, _keys) for each in _RESOURCES)

    async def sync(self, key: Key) -> float | None:
        """See ``Controller.sync``; the key is always the same. Reads anew: it is little, and seldom."""
        await ensure(self._client, self._address, self._clock)
        return None


def _keys(old: Object | None, new: Object | None) -> Iterable[Key]:
    meta = (new or old or Object()).metadata
    return ((NAMESPACE, NAME),) if (meta.name, meta.namespace) in ((NAME, NAMESPACE), (NAME, "")) else ()
