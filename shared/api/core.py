"""core/v1 as frozen structs: Pod, Node, Namespace, ConfigMap, Secret, Service, Endpoints, Event.

Only the fields that the controllers, the scheduler and the agent read. See ``meta`` for the rules.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from shared.api.meta import Condition, LabelSelectorRequirement, Object, Struct

Quantity = str | int | float
"""A resource quantity as it stands in JSON; read it with ``shared.api.quantity``."""

# --- Pod: volumes and environment ---------------------------------------------------------------------------


class KeyToPath(Struct, frozen=True, kw_only=True):
    key: str
    path: str
    mode: int | None = None


class ConfigMapVolumeSource(Struct, frozen=True, kw_only=True):
    name: str = ""
    items: tuple[KeyToPath, ...] = ()
    default_mode: int = 0o644
    optional: bool = False


class SecretVolumeSource(Struct, frozen=True, kw_only=True):
    secret_name: str = ""
    items: tuple[KeyToPath, ...] = ()
    default_mode: int = 0o644
    optional: bool = False


class EmptyDirVolumeSource(Struct, frozen=True, kw_only=True):
    medium: str = ""
    size_limit: Quantity | None = None


class HostPathVolumeSource(Struct, frozen=True, kw_only=True):
    path: str
    type: str = ""


class Volume(Struct, frozen=True, kw_only=True):
    name: str
    empty_dir: EmptyDirVolumeSource | None = None
    host_path: HostPathVolumeSource | None = None
    config_map: ConfigMapVolumeSource | None = None
    secret: SecretVolumeSource | None = None


class VolumeMount(Struct, frozen=True, kw_only=True):
    name: str
    mount_path: str
    read_only: bool = False
    sub_path: str = ""


class KeySelector(Struct, frozen=True, kw_only=True):
    """A key of a ConfigMap or a Secret."""

    name: str = ""
    key: str = ""
    optional: bool = False


class ObjectFieldSelector(Struct, frozen=True, kw_only=True):
    field_path: str
    api_version: str = "v1"


class ResourceFieldSelector(Struct, frozen=True, kw_only=True):
    resource: str
    container_name: str = ""
    divisor: Quantity = "0"


class EnvVarSource(Struct, frozen=True, kw_only=True):
    field_ref: ObjectFieldSelector | None = None
    resource_field_ref: ResourceFieldSelector | None = None
    config_map_key_ref: KeySelector | None = None
    secret_key_ref: KeySelector | None = None


class EnvVar(Struct, frozen=True, kw_only=True):
    name: str
    value: str = ""
    value_from: EnvVarSource | None = None


class EnvFromReference(Struct, frozen=True, kw_only=True):
    name: str = ""
    optional: bool = False


class EnvFromSource(Struct, frozen=True, kw_only=True):
    prefix: str = ""
    config_map_ref: EnvFromReference | None = None
    secret_ref: EnvFromReference | None = None


# --- Pod: containers ----------------------------------------------------------------------------------------


class ContainerPort(Struct, frozen=True, kw_only=True):
    container_port: int
    host_port: int = 0
    protocol: str = "TCP"
    name: str = ""
    host_ip: str = ""


class ExecAction(Struct, frozen=True, kw_only=True):
    command: tuple[str, ...] = ()


class HTTPHeader(Struct, frozen=True, kw_only=True):
    name: str
    value: str


class HTTPGetAction(Struct, frozen=True, kw_only=True):
    port: int | str
    path: str = "/"
    host: str = ""
    scheme: str = "HTTP"
    http_headers: tuple[HTTPHeader, ...] = ()


class TCPSocketAction(Struct, frozen=True, kw_only=True):
    port: int | str
    host: str = ""


class Probe(Struct, frozen=True, kw_only=True):
    """A probe; times in seconds. Exactly one of exec, http_get, tcp_socket is set."""

    exec_: ExecAction | None = None
    http_get: HTTPGetAction | None = None
    tcp_socket: TCPSocketAction | None = None
    initial_delay_seconds: int = 0
    timeout_seconds: int = 1
    period_seconds: int = 10
    success_threshold: int = 1
    failure_threshold: int = 3
    termination_grace_period_seconds: int | None = None


class ResourceRequirements(Struct, frozen=True, kw_only=True):
    requests: dict[str, Quantity] = {}
    limits: dict[str, Quantity] = {}


class Container(Struct, frozen=True, kw_only=True):
    name: str
    image: str = ""
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    working_dir: str = ""
    ports: tuple[ContainerPort, ...] = ()
    env: tuple[EnvVar, ...] = ()
    env_from: tuple[EnvFromSource, ...] = ()
    resources: ResourceRequirements = ResourceRequirements()
    volume_mounts: tuple[VolumeMount, ...] = ()
    liveness_probe: Probe | None = None
    readiness_probe: Probe | None = None
    startup_probe: Probe | None = None
    image_pull_policy: str = "IfNotPresent"
    restart_policy: str = ""
    termination_message_path: str = "/dev/termination-log"
    tty: bool = False
    stdin: bool = False


# --- Pod: scheduling ----------------------------------------------------------------------------------------


class NodeSelectorTerm(Struct, frozen=True, kw_only=True):
    match_expressions: tuple[LabelSelectorRequirement, ...] = ()
    match_fields: tuple[LabelSelectorRequirement, ...] = ()


class NodeSelector(Struct, frozen=True, kw_only=True):
    node_selector_terms: tuple[NodeSelectorTerm, ...] = ()


class PreferredSchedulingTerm(Struct, frozen=True, kw_only=True):
    weight: int
    preference: NodeSelectorTerm


class NodeAffinity(Struct, frozen=True, kw_only=True):
    required_during_scheduling_ignored_during_execution: NodeSelector | None = None
    preferred_during_scheduling_ignored_during_execution: tuple[PreferredSchedulingTerm, ...] = ()


class Affinity(Struct, frozen=True, kw_only=True):
    node_affinity: NodeAffinity | None = None


class Toleration(Struct, frozen=True, kw_only=True):
    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""
    toleration_seconds: int | None = None


class Taint(Struct, frozen=True, kw_only=True):
    key: str
    value: str = ""
    effect: str = ""
    time_added: datetime | None = None


class PodReadinessGate(Struct, frozen=True, kw_only=True):
    condition_type: str


class PodSchedulingGate(Struct, frozen=True, kw_only=True):
    name: str = ""


class PodSpec(Struct, frozen=True, kw_only=True):
    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()
    volumes: tuple[Volume, ...] = ()
    restart_policy: str = "Always"
    termination_grace_period_seconds: int = 30
    node_name: str = ""
    node_selector: dict[str, str] = {}
    affinity: Affinity | None = None
    tolerations: tuple[Toleration, ...] = ()
    scheduler_name: str = "default-scheduler"
    scheduling_gates: tuple[PodSchedulingGate, ...] = ()
    priority: int = 0
    host_network: bool = False
    hostname: str = ""
    subdomain: str = ""
    service_account_name: str = ""
    readiness_gates: tuple[PodReadinessGate, ...] = ()
    overhead: dict[str, Quantity] = {}
    resources: ResourceRequirements | None = None
    """Pod-level resources (KEP-2837); where they name a resource they stand for the containers' sum."""


# --- Pod: status --------------------------------------------------------------------------------------------


class ContainerStateWaiting(Struct, frozen=True, kw_only=True):
    reason: str = ""
    message: str = ""


class ContainerStateRunning(Struct, frozen=True, kw_only=True):
    started_at: datetime | None = None


class ContainerStateTerminated(Struct, frozen=True, kw_only=True):
    exit_code: int
    signal: int = 0
    reason: str = ""
    message: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    container_id: str = ""


class ContainerState(Struct, frozen=True, kw_only=True):
    waiting: ContainerStateWaiting | None = None
    running: ContainerStateRunning | None = None
    terminated: ContainerStateTerminated | None = None


class ContainerStatus(Struct, frozen=True, kw_only=True):
    name: str
    state: ContainerState = ContainerState()
    last_state: ContainerState = ContainerState()
    ready: bool = False
    started: bool | None = None
    restart_count: int = 0
    image: str = ""
    image_id: str = ""
    container_id: str = ""


class PodIP(Struct, frozen=True, kw_only=True):
    ip: str = ""


class PodStatus(Struct, frozen=True, kw_only=True):
    phase: str = ""
    reason: str = ""
    message: str = ""
    conditions: tuple[Condition, ...] = ()
    pod_ip: str = ""
    pod_ips: tuple[PodIP, ...] = ()
    host_ip: str = ""
    start_time: datetime | None = None
    container_statuses: tuple[ContainerStatus, ...] = ()
    init_container_statuses: tuple[ContainerStatus, ...] = ()
    nominated_node_name: str = ""
    qos_class: str = ""
    observed_generation: int = 0


class Pod(Object, frozen=True, kw_only=True):
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


# --- Node ---------------------------------------------------------------------------------------------------


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


class Service(Object, frozen=True, kw_only=True):
    spec: ServiceSpec = ServiceSpec()


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
