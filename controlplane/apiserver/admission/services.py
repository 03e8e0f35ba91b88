"""Admission of services: an update that leaves out what was allocated keeps it.

Pure. After patchAllocatedValues in pkg/registry/core/service/storage/alloc.go.
"""

from __future__ import annotations

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
