"""Node: it comes with its own status, and its pod range never changes.

Pure. Rules and texts are those of pkg/apis/core/validation and pkg/registry/core/node.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping

from controlplane.apiserver.kinds.base import Column, Kind, Subresource
from controlplane.apiserver.kinds.causes import all_invalid, duplicate, forbidden, invalid, required
from controlplane.apiserver.kinds.cells import (
    NONE,
    UNKNOWN,
    age_column,
    at,
    field_column,
    name_column,
)
from controlplane.apiserver.kinds.podspec.defaults import canonical_list
from controlplane.apiserver.kinds.podspec.scheduling import validate_effect
from shared.api import kinds, names, quantity
from shared.api.errors import Cause
from shared.api.meta import JSON

_NODE_INFO = (
    "machineID", "systemUUID", "bootID", "kernelVersion", "osImage", "containerRuntimeVersion", "kubeletVersion",
    "kubeProxyVersion", "operatingSystem", "architecture",
)  # fmt: skip
_ROLE_PREFIX, _ROLE_LABEL = "node-role.kubernetes.io/", "kubernetes.io/role"


def default(node: JSON) -> None:
    """Canonical amounts; what is allocatable is the capacity where it is not given."""
    if node.get("spec") is None:
        node["spec"] = {}
    if node["spec"].get("taints") == []:  # what is left of a list when kubectl takes the last one off
        del node["spec"]["taints"]
    status = node.get("status")
    if not status:
        status = node["status"] = {}
    status.setdefault("daemonEndpoints", {"kubeletEndpoint": {"Port": 0}})
    info = status.get("nodeInfo") or {}
    status["nodeInfo"] = {**dict.fromkeys(_NODE_INFO, ""), **info}
    if status.get("capacity"):
        canonical_list(status["capacity"])
        if status.get("allocatable"):
            canonical_list(status["allocatable"])
        else:
            status["allocatable"] = dict(status["capacity"])


def validate(node: JSON, old: JSON | None) -> Iterable[Cause]:
    spec: JSON = node.get("spec") or {}
    yield from _taints(spec.get("taints") or ())
    ranges = spec.get("podCIDRs") or ([spec["podCIDR"]] if spec.get("podCIDR") else [])
    for index, text in enumerate(ranges):
        try:
            ipaddress.ip_network(text)
        except ValueError:
            detail = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
            yield invalid(f"spec.podCIDRs[{index}]", text, detail)
    yield from validate_status(node, old)
    if old is None:
        return
    before: JSON = old.get("spec") or {}
    if before.get("podCIDR") and spec.get("podCIDR") != before["podCIDR"]:
        yield forbidden("spec.podCIDRs", 'node updates may not change podCIDR except from "" to valid')
    if before.get("providerID") and spec.get("providerID") != before["providerID"]:
        yield forbidden("spec.providerID", 'node updates may not change providerID except from "" to valid')


def _taints(taints: Iterable[JSON]) -> Iterable[Cause]:
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(taints):
        path = f"spec.taints[{index}]"
        key, value, effect = taint.get("key") or "", taint.get("value") or "", taint.get("effect") or ""
        yield from all_invalid(f"{path}.key", key, names.qualified_name(key))
        yield from all_invalid(f"{path}.value", value, names.label_value(value))
        if effect:
            yield from validate_effect(effect, f"{path}.effect")
        else:
            yield required(f"{path}.effect")
        if (key, effect) in seen:
            yield duplicate(path, taint)
        seen.add((key, effect))


def validate_status(node: JSON, old: JSON | None) -> Iterable[Cause]:
    for name in ("capacity", "allocatable"):
        for resource, amount in at(node, "status", name, default={}).items():
            if quantity.parse(amount) < 0:
                detail = "must be greater than or equal to 0"
                yield invalid(f"status.{name}[{resource}]", amount, detail)


def _status(node: JSON) -> str:
    ready = next((c for c in at(node, "status", "conditions", default=()) if c.get("type") == "Ready"), None)
    word = "Unknown" if ready is None else "Ready" if ready.get("status") == "True" else "NotReady"
    return f"{word},SchedulingDisabled" if at(node, "spec", "unschedulable") else word


def _roles(node: JSON) -> str:
    roles: set[str] = set()
    for key, value in (node["metadata"].get("labels") or {}).items():
        if key.startswith(_ROLE_PREFIX):
            roles.add(key.removeprefix(_ROLE_PREFIX))
        elif key == _ROLE_LABEL:
            roles.add(value)
    return ",".join(sorted(roles - {""})) or NONE


def _address(type_: str) -> Column:
    def cell(node: JSON) -> str:
        listed = at(node, "status", "addresses", default=())
        return next((str(a.get("address")) for a in listed if a.get("type") == type_), NONE)

    name = "Internal-IP" if type_ == "InternalIP" else "External-IP"
    return Column(name, "string", f"The node's {name} address", cell, priority=1)


def _info(name: str, field: str, description: str) -> Column:
    return field_column(name, "string", description, "status", "nodeInfo", field, default=UNKNOWN, priority=1)


def selectable(node: JSON) -> Mapping[str, str]:
    return {"spec.unschedulable": ("true" if at(node, "spec", "unschedulable") else "false") if node else ""}


NODE = Kind(
    resource=kinds.NODES,
    singular="node",
    short_names=("no",),
    columns=(
        name_column(),
        Column("Status", "string", "The status of the node", _status),
        Column("Roles", "string", "The roles of the node", _roles),
        age_column(),
        field_column("Version", "string", "Version of the agent on the node", "status", "nodeInfo", "kubeletVersion",
                     default=""),
        _address("InternalIP"),
        _address("ExternalIP"),
        _info("OS-Image", "osImage", "OS that the node runs"),
        _info("Kernel-Version", "kernelVersion", "Kernel that the node runs"),
        _info("Container-Runtime", "containerRuntimeVersion", "Container runtime and its version"),
    ),
    subresources=(
        Subresource("proxy", ("create", "delete", "get", "patch", "update"), kind="NodeProxyOptions"),
        Subresource("status", ("get", "patch", "update")),
    ),
    default=default,
    validate=validate,
    validate_status=validate_status,
    status_metadata=("labels", "annotations", "finalizers", "ownerReferences"),
    selectable_fields=selectable,
    keeps_status_on_create=True,
)  # fmt: skip
