"""How a service's endpoints are packed into EndpointSlices.

Pure. ``desired`` says what must be listed, ``decide`` turns the slices that there are into ones that list it, with
as few writes as it can: an endpoint stays in its slice, a slice of which nothing changes is not written, and no
slice has more than a limit. The rules are those of k8s.io/endpointslice (reconciler.go).

A pod is never in two slices of a service at once: when endpoints must move, they are only taken out at first, and
put in their new place when the caches show that. Kubernetes adds before it removes, and readers must cope.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from controlplane.controllers import pods
from controlplane.controllers.service_pods import (
    HEADLESS_LABEL,
    address,
    families,
    hostname,
    is_headless,
    is_listed,
    target_port,
    target_ref,
)
from controlplane.controllers.writes import Create, Delete, Patch, Write, tree_of
from shared.api.apps import Endpoint, EndpointConditions, EndpointSlice, EndpointSlicePort
from shared.api.core import Service
from shared.api.kinds import ENDPOINT_SLICES, SERVICES
from shared.api.meta import JSON, controller_reference
from shared.api.pod import Pod

MAX_ENDPOINTS = 100
"""In one slice; Kubernetes' --max-endpoints-per-slice."""
SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
CONTROLLER = "endpointslice-controller.k8s.io"
_RESERVED = (SERVICE_NAME, MANAGED_BY, HEADLESS_LABEL)

Group = tuple[str, tuple[EndpointSlicePort, ...]]
"""Address type and ports: what all endpoints of a slice have in common."""


def desired(service: Service, selected: Iterable[Pod], zones: Mapping[str, str]) -> dict[Group, dict[str, Endpoint]]:
    """The endpoints of the pods by group and pod uid, in order of the pods' names. ``zones``: by node name."""
    groups: dict[Group, dict[str, Endpoint]] = {}
    for pod in sorted(selected, key=lambda pod: pod.metadata.name):
        for family in families(service):
            if is_listed(pod, family, terminating=True):
                groups.setdefault((family, _ports(service, pod)), {})[pod.metadata.uid] = _endpoint(
                    service, pod, family, zones.get(pod.spec.node_name, "")
                )
    return groups


def _endpoint(service: Service, pod: Pod, family: str, zone: str) -> Endpoint:
    serving, terminating = pods.is_ready(pod), pod.metadata.deletion_timestamp is not None
    ready = service.spec.publish_not_ready_addresses or (serving and not terminating)
    return Endpoint(
        addresses=(address(pod, family),),
        conditions=EndpointConditions(ready=ready, serving=serving, terminating=terminating),
        node_name=pod.spec.node_name,
        zone=zone,
        hostname=hostname(pod, service),
        target_ref=target_ref(pod),
    )


def _ports(service: Service, pod: Pod) -> tuple[EndpointSlicePort, ...]:
    found = [
        EndpointSlicePort(name=port.name, port=number, protocol=port.protocol, app_protocol=port.app_protocol)
        for port in service.spec.ports
        if (number := target_port(pod, port)) is not None
    ]
    return tuple(sorted(found, key=_port_order))


def _port_order(port: EndpointSlicePort) -> tuple[str, int, str]:
    return port.name, port.port or 0, port.protocol


# --- packing -------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Content:
    """What a slice shall hold; ``slice`` is None for a new one."""

    slice: EndpointSlice | None
    group: Group
    endpoints: list[Endpoint]

    @property
    def changed(self) -> bool:
        return self.slice is None or self.group != _group(self.slice) or tuple(self.endpoints) != self.slice.endpoints


def decide(
    service: Service,
    existing: Sequence[EndpointSlice],
    wanted: Mapping[Group, Mapping[str, Endpoint]],
    limit: int = MAX_ENDPOINTS,
) -> tuple[Write, ...]:
    """The writes that turn ``existing`` (this service's own) into ``wanted``, or that begin to."""
    slices = sorted((s for s in existing if s.metadata.deletion_timestamp is None), key=lambda s: s.metadata.name)
    contents: list[_Content] = []
    for group, endpoints in wanted.items():
        contents += _pack(group, [s for s in slices if _group(s) == group], endpoints, limit)
    for family in families(service):
        if not any(content.group[0] == family for content in contents):
            # A service without endpoints has one empty slice, so that its readers know that it was looked at.
            contents.append(_Content(None, (family, ()), []))
    used = {content.slice.metadata.name for content in contents if content.slice is not None}
    spare = [s for s in slices if s.metadata.name not in used]
    _recycle(contents, spare)
    labels = _labels(service)
    moving = _moving(slices, contents)
    if moving:
        return tuple(_take_out(contents, spare, moving))
    writes: list[Write] = [
        Delete(ENDPOINT_SLICES, s.metadata.name, s.metadata.namespace, uid=s.metadata.uid) for s in spare
    ]
    for content in contents:
        if content.slice is None:
            writes.append(_create(service, content, labels))
        elif content.changed or content.slice.metadata.labels != labels:
            writes.append(_patch(content.slice, content.group, content.endpoints, labels))
    return tuple(writes)


def _pack(group: Group, slices: Sequence[EndpointSlice], wanted: Mapping[str, Endpoint], limit: int) -> list[_Content]:
    """Endpoints of one group into its slices and new ones; slices that stay empty are not among the result."""
    left = dict(wanted)
    contents = []
    for existing in slices:
        kept = [left.pop(uid) for e in existing.endpoints if (uid := _uid(e)) in left]
        contents.append(_Content(existing, group, kept))
    # First where a write happens anyway, the fullest first.
    for content in sorted((c for c in contents if c.changed and c.endpoints), key=lambda c: -len(c.endpoints)):
        _fill(content, left, limit)
    while left:
        # Then, if all the rest fits, in the fullest other slice, which costs one write like a new one.
        fitting = [c for c in contents if len(c.endpoints) + len(left) <= limit]
        if not fitting:
            contents.append(_Content(None, group, []))
        _fill(max(fitting, key=lambda c: len(c.endpoints)) if fitting else contents[-1], left, limit)
    return [content for content in contents if content.endpoints]


def _fill(content: _Content, left: dict[str, Endpoint], limit: int) -> None:
    while left and len(content.endpoints) < limit:
        uid = next(iter(left))
        content.endpoints.append(left.pop(uid))


def _recycle(contents: Iterable[_Content], spare: list[EndpointSlice]) -> None:
    """Write new contents over slices that would be deleted: one write instead of two, and when a service's ports
    change its endpoints do not vanish in between."""
    for content in contents:
        if content.slice is not None:
            continue
        uids = {_uid(endpoint) for endpoint in content.endpoints}
        fitting = [s for s in spare if s.address_type == content.group[0]]
        if fitting:
            content.slice = max(fitting, key=lambda s: sum(_uid(e) in uids for e in s.endpoints))
            spare.remove(content.slice)


def _moving(slices: Iterable[EndpointSlice], contents: Iterable[_Content]) -> set[tuple[str, str]]:
    """(address type, pod uid) of what is in another slice than it shall be, or in two."""
    where: dict[tuple[str, str], list[str]] = {}
    for existing in slices:
        for endpoint in existing.endpoints:
            where.setdefault((existing.address_type, _uid(endpoint)), []).append(existing.metadata.name)
    moving = set()
    for content in contents:
        name = content.slice.metadata.name if content.slice is not None else ""
        for endpoint in content.endpoints:
            key = content.group[0], _uid(endpoint)
            if where.get(key, [name]) != [name]:
                moving.add(key)
    return moving


def _take_out(
    contents: Iterable[_Content], spare: Iterable[EndpointSlice], moving: set[tuple[str, str]]
) -> Iterable[Write]:
    """The moving endpoints off the slices where they are and shall not be; nothing is added to any slice."""
    homes = {
        (content.group[0], _uid(endpoint)): content.slice.metadata.name
        for content in contents
        if content.slice is not None
        for endpoint in content.endpoints
    }
    kept = [content.slice for content in contents if content.slice is not None]
    for existing in (*kept, *spare):
        stays = [
            endpoint
            for endpoint in existing.endpoints
            if (key := (existing.address_type, _uid(endpoint))) not in moving
            or homes.get(key) == existing.metadata.name
        ]
        if len(stays) < len(existing.endpoints):
            yield _patch(existing, _group(existing), stays, existing.metadata.labels)


# --- writing -------------------------------------------------------------------------------------------------


def _labels(service: Service) -> dict[str, str]:
    labels = {key: value for key, value in service.metadata.labels.items() if key not in _RESERVED}
    if is_headless(service):
        labels[HEADLESS_LABEL] = ""
    return {**labels, SERVICE_NAME: service.metadata.name, MANAGED_BY: CONTROLLER}


def _create(service: Service, content: _Content, labels: Mapping[str, str]) -> Create:
    meta = service.metadata
    reference = controller_reference(SERVICES.api_version, SERVICES.kind, meta.name, meta.uid)
    obj: JSON = {
        "kind": ENDPOINT_SLICES.kind,
        "apiVersion": ENDPOINT_SLICES.api_version,
        "metadata": {
            "generateName": f"{meta.name}-",
            "namespace": meta.namespace,
            "labels": dict(labels),
            "ownerReferences": [reference],
        },
        "addressType": content.group[0],
        **_body(content.group, content.endpoints),
    }
    return Create(ENDPOINT_SLICES, obj, meta.namespace)


def _patch(existing: EndpointSlice, group: Group, endpoints: Iterable[Endpoint], labels: Mapping[str, str]) -> Patch:
    meta = existing.metadata
    change: JSON = {"resourceVersion": meta.resource_version}
    if meta.labels != labels:
        change["labels"] = {**dict.fromkeys(meta.labels), **labels}
    patch = {"metadata": change, **_body(group, endpoints)}
    return Patch(ENDPOINT_SLICES, meta.name, patch, meta.namespace)


def _body(group: Group, endpoints: Iterable[Endpoint]) -> JSON:
    return {
        "endpoints": [tree_of(endpoint) for endpoint in endpoints],
        "ports": [_port_tree(port) for port in group[1]],
    }


def _port_tree(port: EndpointSlicePort) -> JSON:
    """With the fields that Kubernetes always writes."""
    tree: dict[str, Any] = {"name": port.name, "port": port.port, "protocol": port.protocol}
    if port.app_protocol:
        tree["appProtocol"] = port.app_protocol
    return tree


def _group(existing: EndpointSlice) -> Group:
    return existing.address_type, tuple(sorted(existing.ports, key=_port_order))


def _uid(endpoint: Endpoint) -> str:
    return str((endpoint.target_ref or {}).get("uid", ""))
