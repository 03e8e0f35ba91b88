"""Service: defaults, validation, columns. Cluster addresses and node ports are allocated elsewhere.

Pure. Rules and texts are those of pkg/apis/core and pkg/registry/core/service.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping

from controlplane.apiserver.kinds.base import Column, Kind, Subresource
from controlplane.apiserver.kinds.causes import (
    all_invalid,
    duplicate,
    forbidden,
    invalid,
    not_supported,
    required,
)
from controlplane.apiserver.kinds.cells import (
    NONE,
    age_column,
    at,
    field_column,
    format_labels,
    name_column,
)
from controlplane.apiserver.kinds.metadata import validate_labels
from controlplane.apiserver.kinds.podspec.containers import PROTOCOLS
from controlplane.apiserver.kinds.podspec.handlers import port_number_or_name
from shared.api import kinds, names
from shared.api.errors import Cause
from shared.api.meta import JSON

TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_AFFINITIES = ("ClientIP", "None")
_POLICIES = ("Cluster", "Local")
_CLIENT_IP_SECONDS = 10800
_LOAD_BALANCER_WIDTH = 16


def default(service: JSON) -> None:
    """Everything but addresses: ``clusterIP`` stays as given, ``clusterIPs`` follows it."""
    spec = service.setdefault("spec", {})
    if not spec.get("sessionAffinity"):
        spec["sessionAffinity"] = "None"
    if spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)
    elif spec["sessionAffinity"] == "ClientIP" and not at(spec, "sessionAffinityConfig", "clientIP", "timeoutSeconds"):
        spec["sessionAffinityConfig"] = {"clientIP": {"timeoutSeconds": _CLIENT_IP_SECONDS}}
    if not spec.get("type"):
        spec["type"] = "ClusterIP"
    for port in spec.get("ports") or ():
        if not port.get("protocol"):
            port["protocol"] = "TCP"
        if not port.get("targetPort"):
            port["targetPort"] = port.get("port")
    outside = spec["type"] in ("NodePort", "LoadBalancer") or (spec["type"] == "ClusterIP" and spec.get("externalIPs"))
    if outside and not spec.get("externalTrafficPolicy"):
        spec["externalTrafficPolicy"] = "Cluster"
    if spec["type"] == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is None:
        spec["allocateLoadBalancerNodePorts"] = True
    if spec["type"] != "ExternalName":
        if spec.get("internalTrafficPolicy") is None:
            spec["internalTrafficPolicy"] = "Cluster"
        _families(spec)
    if service.get("status") is None:
        service["status"] = {}
    if service["status"].get("loadBalancer") is None:
        service["status"]["loadBalancer"] = {}


def _families(spec: JSON) -> None:
    if spec.get("clusterIP") and not spec.get("clusterIPs"):
        spec["clusterIPs"] = [spec["clusterIP"]]
    elif spec.get("clusterIPs") and not spec.get("clusterIP"):
        spec["clusterIP"] = spec["clusterIPs"][0]
    if not spec.get("ipFamilies"):
        six = ":" in (spec.get("clusterIP") or "")
        spec["ipFamilies"] = ["IPv6" if six else "IPv4"]
    if not spec.get("ipFamilyPolicy"):
        spec["ipFamilyPolicy"] = "SingleStack"


def validate(service: JSON, old: JSON | None) -> Iterable[Cause]:
    spec: JSON = service.get("spec") or {}
    found: list[Cause] = []
    ports = spec.get("ports") or ()
    kind = spec.get("type") or ""
    headless = spec.get("clusterIP") == "None"
    if not ports and not headless and kind != "ExternalName":
        found.append(required("spec.ports"))
    found += _by_type(spec, kind, headless)
    taken: set[str] = set()
    for index, port in enumerate(ports):
        found += _port(port, len(ports) > 1, headless, taken, f"spec.ports[{index}]")
    found += validate_labels(spec.get("selector"), "spec.selector")
    if (affinity := spec.get("sessionAffinity") or "") not in _AFFINITIES:
        found.append(not_supported("spec.sessionAffinity", affinity, _AFFINITIES))
    found += _addresses(spec)
    if kind not in TYPES:
        found.append(not_supported("spec.type", kind, TYPES) if kind else required("spec.type"))
    found += _node_ports(ports, kind)
    found += _repeated_ports(ports)
    found += _traffic(spec, kind)
    if old is not None:
        found += _update(spec, old.get("spec") or {})
    return found


def _by_type(spec: JSON, kind: str, headless: bool) -> Iterable[Cause]:
    if kind == "LoadBalancer" and headless:
        yield invalid("spec.clusterIPs[0]", "None", "may not be set to 'None' for LoadBalancer services")
    elif kind == "NodePort" and headless:
        yield invalid("spec.clusterIPs[0]", "None", "may not be set to 'None' for NodePort services")
    elif kind == "ExternalName":
        for field in ("clusterIP", "clusterIPs"):
            if spec.get(field):
                yield invalid(f"spec.{field}", spec[field], "may not be set for ExternalName services")
        name = (spec.get("externalName") or "").removesuffix(".")
        if name:
            yield from all_invalid("spec.externalName", name, names.dns_subdomain(name))
        else:
            yield required("spec.externalName")


def _port(port: JSON, named: bool, headless: bool, taken: set[str], path: str) -> Iterable[Cause]:
    name = port.get("name") or ""
    if not name:
        if named:
            yield required(f"{path}.name")
    elif wrong := names.dns_label(name):
        yield from all_invalid(f"{path}.name", name, wrong)
    elif name in taken:
        yield duplicate(f"{path}.name", name)
    taken.add(name)
    number = port.get("port") or 0
    yield from all_invalid(f"{path}.port", number, names.port_number(number))
    protocol = port.get("protocol") or ""
    if protocol not in PROTOCOLS:
        yield not_supported(f"{path}.protocol", protocol, PROTOCOLS) if protocol else required(f"{path}.protocol")
    yield from port_number_or_name(port.get("targetPort"), f"{path}.targetPort")
    if application := port.get("appProtocol"):
        yield from all_invalid(f"{path}.appProtocol", application, names.qualified_name(application))


def _addresses(spec: JSON) -> Iterable[Cause]:
    addresses = spec.get("clusterIPs") or ()
    if addresses and spec.get("clusterIP") != addresses[0]:
        yield invalid("spec.clusterIPs", list(addresses), "first value must match `clusterIP`")
    for index, address in enumerate(addresses):
        if address != "None":
            yield from all_invalid(f"spec.clusterIPs[{index}]", address, names.ip(address))
        elif len(addresses) > 1:
            yield invalid(f"spec.clusterIPs[{index}]", address, "must be the only value")
    for index, address in enumerate(spec.get("externalIPs") or ()):
        yield from _usable(f"spec.externalIPs[{index}]", address)


def _usable(path: str, address: str) -> Iterable[Cause]:
    if wrong := names.ip(address):
        return all_invalid(path, address, wrong)
    parsed = ipaddress.ip_address(address)
    if parsed.is_unspecified:
        return [invalid(path, address, f"may not be unspecified ({address})")]
    if parsed.is_loopback:
        return [invalid(path, address, "may not be in the loopback range (127.0.0.0/8, ::1/128)")]
    if parsed.is_link_local:
        return [invalid(path, address, "may not be in the link-local range (169.254.0.0/16, fe80::/10)")]
    return []


def _node_ports(ports: Iterable[JSON], kind: str) -> Iterable[Cause]:
    taken: set[tuple[str, int]] = set()
    for index, port in enumerate(ports):
        path = f"spec.ports[{index}].nodePort"
        if not (number := port.get("nodePort")):
            continue
        if kind in ("ClusterIP", "ExternalName"):
            yield forbidden(path, f"may not be used when `type` is '{kind}'")
        key = (port.get("protocol") or "", number)
        if key in taken:
            yield duplicate(path, number)
        taken.add(key)


def _repeated_ports(ports: Iterable[JSON]) -> Iterable[Cause]:
    seen: set[tuple[str, int]] = set()
    for index, port in enumerate(ports):
        key = (port.get("protocol") or "", port.get("port") or 0)
        if key in seen:
            yield duplicate(f"spec.ports[{index}]", {"protocol": key[0], "port": key[1]})
        seen.add(key)


def _traffic(spec: JSON, kind: str) -> Iterable[Cause]:
    external, internal = spec.get("externalTrafficPolicy"), spec.get("internalTrafficPolicy")
    if external:
        if kind == "ExternalName" or (kind == "ClusterIP" and not spec.get("externalIPs")):
            detail = "may only be set for externally-accessible services"
            yield invalid("spec.externalTrafficPolicy", external, detail)
        elif external not in _POLICIES:
            yield not_supported("spec.externalTrafficPolicy", external, _POLICIES)
    if internal is not None and internal not in _POLICIES:
        yield not_supported("spec.internalTrafficPolicy", internal, _POLICIES)


def _update(spec: JSON, old: JSON) -> Iterable[Cause]:
    if "ExternalName" in (spec.get("type"), old.get("type")):
        return
    before, after = old.get("clusterIPs") or (), spec.get("clusterIPs") or ()
    if before and after and before[0] != after[0]:
        yield invalid("spec.clusterIPs[0]", list(after), "may not change once set")
    elif before and not after:
        yield invalid("spec.clusterIPs[0]", [], "primary clusterIP can not be unset")


def _cluster_ip(service: JSON) -> str:
    addresses = at(service, "spec", "clusterIPs", default=())
    return str((addresses[0] if addresses else at(service, "spec", "clusterIP")) or NONE)


def _external_ip(service: JSON) -> str:
    spec: JSON = service.get("spec") or {}
    outside = [str(address) for address in spec.get("externalIPs") or ()]
    if spec.get("type") == "ExternalName":
        return str(spec.get("externalName") or "")
    if spec.get("type") != "LoadBalancer":
        return ",".join(outside) or NONE
    ingress = at(service, "status", "loadBalancer", "ingress", default=())
    balanced = ",".join(sorted({str(entry.get("ip") or entry.get("hostname") or "") for entry in ingress} - {""}))
    if len(balanced) > _LOAD_BALANCER_WIDTH:
        balanced = f"{balanced[: _LOAD_BALANCER_WIDTH - 3]}..."
    return ",".join([*([balanced] if balanced else []), *outside]) or "<pending>"


def _ports(service: JSON) -> str:
    def one(port: JSON) -> str:
        node = f":{port['nodePort']}" if port.get("nodePort") else ""
        return f"{port.get('port')}{node}/{port.get('protocol')}"

    return ",".join(one(port) for port in at(service, "spec", "ports", default=())) or NONE


def selectable(service: JSON) -> Mapping[str, str]:
    return {
        "spec.clusterIP": at(service, "spec", "clusterIP", default=""),
        "spec.type": at(service, "spec", "type", default=""),
    }


SERVICE = Kind(
    resource=kinds.SERVICES,
    singular="service",
    short_names=("svc",),
    categories=("all",),
    columns=(
        name_column(),
        field_column("Type", "string", "How the service is exposed.", "spec", "type", default=""),
        Column("Cluster-IP", "string", "Address of the service inside the cluster.", _cluster_ip),
        Column("External-IP", "string", "Addresses of the service outside the cluster.", _external_ip),
        Column("Port(s)", "string", "Ports of the service.", _ports),
        age_column(),
        Column("Selector", "string", "Labels of the pods behind the service.",
               lambda obj: format_labels(at(obj, "spec", "selector")), priority=1),
    ),
    subresources=(
        Subresource("proxy", ("create", "delete", "get", "patch", "update"), kind="ServiceProxyOptions"),
        Subresource("status", ("get", "patch", "update")),
    ),
    default=default,
    validate=validate,
    status_metadata=("labels", "annotations", "finalizers", "ownerReferences"),
    selectable_fields=selectable,
    name_rule="dns-1035-label",
)  # fmt: skip
