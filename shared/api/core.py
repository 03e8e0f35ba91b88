"""The rest of core/v1 as frozen structs: Node, Namespace, ConfigMap, Secret, Service, Endpoints, Event.

Only the fields that the controllers, the scheduler and the agent read. See ``meta`` for the rules; Pods are in ``pod``.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from shared.api.meta import Condition, Object, Struct
from shared.api.quantity import Quantity

# --- Node ---------------------------------------------------------------------------------------------------


class Taint(Struct, frozen=True, kw_only=True):
    key: str
    value: str = ""
    effect: str = ""
    time_added: datetime | None = None


class NodeSpec(Struct, frozen=True, kw_only=True):
    pod_cidr: str = ""
    pod_cidrs: tuple[str, ...] = ()
    provider_id: str = ""
    unschedulable: bool = False
    taints: tuple[Taint, ...] = ()


class NodeAddress(Struct, frozen=True, kw_only=True):
    type: str
    address: str


class NodeStatus(Struct, frozen=True, kw_only=True):
    capacity: dict[str, Quantity] = {}
    allocatable: dict[str, Quantity] = {}
    conditions: tuple[Condition, ...] = ()
    addresses: tuple[NodeAddress, ...] = ()


class Node(Object, frozen=True, kw_only=True):
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()


# --- the rest of core/v1 that something here reads -----------------------------------------------------------


class NamespaceSpec(Struct, frozen=True, kw_only=True):
    finalizers: tuple[str, ...] = ()


class NamespaceStatus(Struct, frozen=True, kw_only=True):
    phase: str = ""
    conditions: tuple[Condition, ...] = ()


class Namespace(Object, frozen=True, kw_only=True):
    spec: NamespaceSpec = NamespaceSpec()
    status: NamespaceStatus = NamespaceStatus()


class ConfigMap(Object, frozen=True, kw_only=True):
    data: dict[str, str] = {}
    binary_data: dict[str, str] = {}
    immutable: bool = False


class Secret(Object, frozen=True, kw_only=True):
    type: str = ""
    data: dict[str, str] = {}
    immutable: bool = False


class ServiceAccount(Object, frozen=True, kw_only=True):
    pass


class ServicePort(Struct, frozen=True, kw_only=True):
    port: int
    name: str = ""
    protocol: str = "TCP"
    app_protocol: str = ""
    target_port: int | str | None = None
    node_port: int = 0


class ServiceSpec(Struct, frozen=True, kw_only=True):
    selector: dict[str, str] = {}
    ports: tuple[ServicePort, ...] = ()
    type: str = "ClusterIP"
    cluster_ip: str = ""
    cluster_ips: tuple[str, ...] = ()
    ip_families: tuple[str, ...] = ()
    publish_not_ready_addresses: bool = False
    external_name: str = ""
    allocate_load_balancer_node_ports: bool | None = None


class Service(Object, frozen=True, kw_only=True):
    spec: ServiceSpec = ServiceSpec()


class ServiceCIDRStatus(Struct, frozen=True, kw_only=True):
    conditions: tuple[Condition, ...] = ()


class ServiceCIDRSpec(Struct, frozen=True, kw_only=True):
    cidrs: tuple[str, ...] = ()


class ServiceCIDR(Object, frozen=True, kw_only=True):
    """Ranges of service addresses, at most one of each family (networking.k8s.io/v1)."""

    spec: ServiceCIDRSpec = ServiceCIDRSpec()
    status: ServiceCIDRStatus = ServiceCIDRStatus()


class EndpointAddress(Struct, frozen=True, kw_only=True):
    ip: str
    hostname: str = ""
    node_name: str = ""
    target_ref: dict[str, Any] | None = None


class EndpointPort(Struct, frozen=True, kw_only=True):
    port: int
    name: str = ""
    protocol: str = "TCP"
    app_protocol: str = ""


class EndpointSubset(Struct, frozen=True, kw_only=True):
    addresses: tuple[EndpointAddress, ...] = ()
    not_ready_addresses: tuple[EndpointAddress, ...] = ()
    ports: tuple[EndpointPort, ...] = ()


class Endpoints(Object, frozen=True, kw_only=True):
    subsets: tuple[EndpointSubset, ...] = ()


class Event(Object, frozen=True, kw_only=True):
    involved_object: dict[str, Any] = {}
    reason: str = ""
    message: str = ""
    type: str = ""
    count: int = 0
