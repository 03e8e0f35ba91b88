"""Admission of services: an update that leaves out what was allocated keeps it, and one to another type lets go of what
that type has not.

Pure. After patchAllocatedValues and dropTypeDependentFields in pkg/registry/core/service.
"""

from __future__ import annotations

from collections.abc import Callable

from controlplane.apiserver.admission.context import Context
from shared.api.meta import JSON

_WITH_ADDRESS = ("ClusterIP", "NodePort", "LoadBalancer")
_WITH_NODE_PORTS = ("NodePort", "LoadBalancer")


def keep_allocated(context: Context, service: JSON, old: JSON) -> None:
    """Cluster addresses, node ports and the health check's port come from ``old`` where they are not given."""
    spec, before = service["spec"], old.get("spec") or {}
    if spec.get("type") in _WITH_ADDRESS and before.get("type") in _WITH_ADDRESS and not spec.get("clusterIP"):
        for field in ("clusterIP", "clusterIPs"):
            if before.get(field):
                spec[field] = before[field]
    if spec.get("type") in _WITH_NODE_PORTS and before.get("type") in _WITH_NODE_PORTS:
        taken = {port.get("nodePort") for port in spec.get("ports") or ()}
        allocated = {_key(port): port.get("nodePort") for port in before.get("ports") or ()}
        for port in spec.get("ports") or ():
            number = allocated.get(_key(port))
            if not port.get("nodePort") and number and number not in taken:
                port["nodePort"] = number
        if not spec.get("healthCheckNodePort") and before.get("healthCheckNodePort"):
            spec["healthCheckNodePort"] = before["healthCheckNodePort"]


def _key(port: JSON) -> tuple[str, int]:
    return port.get("protocol") or "TCP", port.get("port") or 0


def drop_dependent(context: Context, service: JSON, old: JSON) -> None:
    """Fields that belong to the old type and not to the new one go, if the update has not changed them."""
    spec, before = service["spec"], old.get("spec") or {}

    def drop(has: Callable[[JSON], bool], *fields: str) -> None:
        if has(before) and not has(spec):
            for field in fields:
                if spec.get(field) == before.get(field):
                    spec.pop(field, None)

    if _has_address(before) and not _has_address(spec) and spec.get("clusterIPs") == before.get("clusterIPs"):
        spec.pop("clusterIP", None)
        spec.pop("clusterIPs", None)
    drop(_has_address, "ipFamilyPolicy", "ipFamilies", "internalTrafficPolicy")
    if _has_node_ports(before) and not _has_node_ports(spec) and _node_ports(spec) == _node_ports(before):
        for port in spec.get("ports") or ():
            port.pop("nodePort", None)
    drop(_has_health_check, "healthCheckNodePort")
    drop(_is_load_balancer, "allocateLoadBalancerNodePorts", "loadBalancerClass")
    drop(_is_external, "externalTrafficPolicy")


def _has_address(spec: JSON) -> bool:
    return spec.get("type") in _WITH_ADDRESS


def _has_node_ports(spec: JSON) -> bool:
    if spec.get("type") == "LoadBalancer":
        return spec.get("allocateLoadBalancerNodePorts") is not False
    return spec.get("type") == "NodePort"


def _is_load_balancer(spec: JSON) -> bool:
    return spec.get("type") == "LoadBalancer"


def _has_health_check(spec: JSON) -> bool:
    return _is_load_balancer(spec) and spec.get("externalTrafficPolicy") == "Local"


def _is_external(spec: JSON) -> bool:
    return spec.get("type") in _WITH_NODE_PORTS or (spec.get("type") == "ClusterIP" and bool(spec.get("externalIPs")))


def _node_ports(spec: JSON) -> set[int]:
    return {port["nodePort"] for port in spec.get("ports") or () if port.get("nodePort")}
