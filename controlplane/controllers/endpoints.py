"""Endpoints: one object of a service's name that lists the addresses behind it.

Writes the Endpoints of services that select pods, and deletes those of services that are gone; Endpoints of a
service without a selector are its user's. EndpointSlices are what the cluster itself reads; this is for clients
that know nothing newer. The rules are those of k8s.io/kubernetes pkg/controller/endpoint. One sync at a time for
each service.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from controlplane.controllers import ownership, pods
from controlplane.controllers.base import Context, Key, Watch
from controlplane.controllers.pace import Pace
from controlplane.controllers.service_pods import (
    HEADLESS_LABEL,
    address,
    families,
    has_endpoints,
    hostname,
    is_headless,
    is_listed,
    keys_of_change,
    selects,
    target_port,
    target_ref,
)
from controlplane.controllers.writes import Create, Delete, Patch, Write, send, tree_of
from shared.api.core import EndpointAddress, EndpointPort, Endpoints, EndpointSubset, Service
from shared.api.kinds import ENDPOINTS, PODS, SERVICES
from shared.api.meta import JSON
from shared.api.pod import Pod

MAX_ADDRESSES = 1000
"""Addresses in one Endpoints object; more are left out, which an annotation says."""
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
MANAGED_BY = "endpoints.kubernetes.io/managed-by"


def decide(service: Service, selected: Iterable[Pod], existing: Endpoints | None) -> Write | None:
    """What makes the service's Endpoints true; None when they are."""
    wanted, truncated = _truncate(subsets(service, selected))
    labels = dict(service.metadata.labels)
    labels.pop(HEADLESS_LABEL, None)
    if is_headless(service):
        labels[HEADLESS_LABEL] = ""
    labels[MANAGED_BY] = "endpoint-controller"
    meta = service.metadata
    trees = [tree_of(subset) for subset in wanted]
    if existing is None:
        metadata: JSON = {"name": meta.name, "namespace": meta.namespace, "labels": labels}
        if truncated:
            metadata["annotations"] = {OVER_CAPACITY: "truncated"}
        obj: JSON = {"kind": "Endpoints", "apiVersion": "v1", "metadata": metadata}
        if trees:
            obj["subsets"] = trees
        return Create(ENDPOINTS, obj, meta.namespace)
    was = existing.metadata
    marked = OVER_CAPACITY in was.annotations
    if (existing.subsets, was.labels, marked) == (wanted, labels, truncated):
        return None
    change: JSON = {"resourceVersion": was.resource_version}
    if was.labels != labels:
        change["labels"] = {**dict.fromkeys(was.labels), **labels}
    if marked != truncated:
        change["annotations"] = {OVER_CAPACITY: "truncated" if truncated else None}
    return Patch(ENDPOINTS, meta.name, {"metadata": change, "subsets": trees or None}, meta.namespace)


def subsets(service: Service, selected: Iterable[Pod]) -> tuple[EndpointSubset, ...]:
    """The addresses of the pods, those with the same ports together (RepackSubsets)."""
    family = families(service)[0]
    tolerant = service.spec.publish_not_ready_addresses
    groups: dict[tuple[EndpointPort, ...], tuple[list[EndpointAddress], list[EndpointAddress]]] = {}
    for pod in selected:
        if not is_listed(pod, family, terminating=tolerant):
            continue
        ports = _ports(service, pod)
        if not ports and not (is_headless(service) and not service.spec.ports):
            continue
        ready, not_ready = groups.setdefault(ports, ([], []))
        entry = EndpointAddress(
            ip=address(pod, family),
            hostname=hostname(pod, service),
            node_name=pod.spec.node_name,
            target_ref=target_ref(pod),
        )
        (ready if tolerant or pods.is_ready(pod) else not_ready).append(entry)
    return tuple(
        EndpointSubset(addresses=_sorted(ready), not_ready_addresses=_sorted(not_ready), ports=ports)
        for ports, (ready, not_ready) in sorted(groups.items(), key=lambda item: [_port_order(p) for p in item[0]])
    )


def _ports(service: Service, pod: Pod) -> tuple[EndpointPort, ...]:
    found = [
        EndpointPort(name=port.name, port=number, protocol=port.protocol, app_protocol=port.app_protocol)
        for port in service.spec.ports
        if (number := target_port(pod, port)) is not None
    ]
    return tuple(sorted(found, key=_port_order))


def _port_order(port: EndpointPort) -> tuple[str, int, str]:
    return port.name, port.port, port.protocol


def _sorted(addresses: Iterable[EndpointAddress]) -> tuple[EndpointAddress, ...]:
    return tuple(sorted(addresses, key=lambda a: (a.ip, (a.target_ref or {}).get("uid", ""))))


def _truncate(found: Sequence[EndpointSubset]) -> tuple[tuple[EndpointSubset, ...], bool]:
    """At most MAX_ADDRESSES, ready ones before others; whether any were left out."""
    total = sum(len(subset.addresses) + len(subset.not_ready_addresses) for subset in found)
    if total <= MAX_ADDRESSES:
        return tuple(found), False
    room = MAX_ADDRESSES
    ready: list[tuple[EndpointAddress, ...]] = []
    for subset in found:
        ready.append(subset.addresses[:room])
        room -= len(ready[-1])
    kept: list[EndpointSubset] = []
    for subset, addresses in zip(found, ready, strict=True):
        not_ready = subset.not_ready_addresses[:room]
        room -= len(not_ready)
        if addresses or not_ready:
            kept.append(EndpointSubset(addresses=addresses, not_ready_addresses=not_ready, ports=subset.ports))
    return tuple(kept), True


class EndpointsController:
    """See the module."""

    name = "endpoints"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._services = context.informers.cache(SERVICES)
        self._pods = context.informers.cache(PODS)
        self._endpoints = context.informers.cache(ENDPOINTS)
        ownership.add_indexes(self._services)
        ownership.add_indexes(self._pods)
        self._pace = Pace(context.clock)
        self._gone: set[Key] = set()
        """Services that were deleted, whose Endpoints go too."""

    def watches(self) -> Sequence[Watch]:
        return (
            Watch(SERVICES, self._keys_of_service),
            Watch(PODS, lambda old, new: keys_of_change(self._services, old, new)),
            Watch(ENDPOINTS, self._keys_of_endpoints),
        )

    def _keys_of_service(self, old: Service | None, new: Service | None) -> Iterable[Key]:
        service = new or old
        assert service is not None
        key = service.metadata.namespace, service.metadata.name
        if new is None:
            self._gone.add(key)
        else:
            self._gone.discard(key)
        return (key,)

    def _keys_of_endpoints(self, old: Endpoints | None, new: Endpoints | None) -> Iterable[Key]:
        """Somebody changed or deleted them; an addition is ours, or the service's own event looks at it."""
        found = new or old
        assert found is not None
        return () if old is None else ((found.metadata.namespace, found.metadata.name),)

    async def sync(self, key: Key) -> float | None:
        """See ``Controller.sync``; the key is a service's."""
        namespace, name = key
        service, existing = self._services.get(name, namespace), self._endpoints.get(name, namespace)
        if service is None:
            if existing is not None and (key in self._gone or MANAGED_BY in existing.metadata.labels):
                await send(self._client, Delete(ENDPOINTS, name, namespace, uid=existing.metadata.uid))
            self._gone.discard(key)
            self._pace.forget(key)
            return None
        if not has_endpoints(service):
            return None
        if (rest := self._pace.wait(key)) is not None:
            return rest
        selected = [p for p in self._pods.by_index(ownership.NAMESPACE, namespace) if selects(service, p)]
        self._pace.looked(key, len(selected))
        write = decide(service, selected, existing)
        if write is not None:
            await send(self._client, write)
        return None
