"""A Pod of core/v1 as frozen structs: its volumes, containers, scheduling and status.

Only the fields that the controllers, the scheduler and the agent read. See ``meta`` for the rules.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from shared.api.meta import Condition, LabelSelector, LabelSelectorRequirement, Object, Struct
from shared.api.quantity import Quantity
from shared.api.security import HostAlias, PodDNSConfig, PodSecurityContext, SecurityContext

# --- volumes and environment ---------------------------------------------------------------------------------


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


class PersistentVolumeClaimVolumeSource(Struct, frozen=True, kw_only=True):
    claim_name: str = ""


class EphemeralVolumeSource(Struct, frozen=True, kw_only=True):
    """A claim of the pod's own, named after both: ``<pod>-<volume>``."""


class ObjectFieldSelector(Struct, frozen=True, kw_only=True):
    field_path: str
    api_version: str = "v1"


class ResourceFieldSelector(Struct, frozen=True, kw_only=True):
    resource: str
    container_name: str = ""
    divisor: Quantity = "0"


class ServiceAccountTokenProjection(Struct, frozen=True, kw_only=True):
    """A token of the pod's account for ``audience`` ("" for the API server), in the file ``path``."""

    path: str
    audience: str = ""
    expiration_seconds: int = 3600


class DownwardAPIVolumeFile(Struct, frozen=True, kw_only=True):
    path: str
    field_ref: ObjectFieldSelector | None = None
    resource_field_ref: ResourceFieldSelector | None = None
    mode: int | None = None


class DownwardAPIProjection(Struct, frozen=True, kw_only=True):
    items: tuple[DownwardAPIVolumeFile, ...] = ()


class DownwardAPIVolumeSource(Struct, frozen=True, kw_only=True):
    items: tuple[DownwardAPIVolumeFile, ...] = ()
    default_mode: int = 0o644


class NFSVolumeSource(Struct, frozen=True, kw_only=True):
    server: str = ""
    path: str = ""
    read_only: bool = False


class ObjectProjection(Struct, frozen=True, kw_only=True):
    """Keys of a ConfigMap or a Secret."""

    name: str = ""
    items: tuple[KeyToPath, ...] = ()
    optional: bool = False


class VolumeProjection(Struct, frozen=True, kw_only=True):
    """One of them."""

    secret: ObjectProjection | None = None
    config_map: ObjectProjection | None = None
    downward_api: DownwardAPIProjection | None = msgspec.field(default=None, name="downwardAPI")
    service_account_token: ServiceAccountTokenProjection | None = None


class ProjectedVolumeSource(Struct, frozen=True, kw_only=True):
    sources: tuple[VolumeProjection, ...] = ()
    default_mode: int = 0o644


class Volume(Struct, frozen=True, kw_only=True):
    name: str
    empty_dir: EmptyDirVolumeSource | None = None
    host_path: HostPathVolumeSource | None = None
    config_map: ConfigMapVolumeSource | None = None
    secret: SecretVolumeSource | None = None
    persistent_volume_claim: PersistentVolumeClaimVolumeSource | None = None
    ephemeral: EphemeralVolumeSource | None = None
    projected: ProjectedVolumeSource | None = None
    downward_api: DownwardAPIVolumeSource | None = msgspec.field(default=None, name="downwardAPI")
    nfs: NFSVolumeSource | None = None


class VolumeMount(Struct, frozen=True, kw_only=True):
    name: str
    mount_path: str
    read_only: bool = False
    recursive_read_only: str = ""
    sub_path: str = ""
    sub_path_expr: str = ""
    mount_propagation: str = ""


class KeySelector(Struct, frozen=True, kw_only=True):
    """A key of a ConfigMap or a Secret."""

    name: str = ""
    key: str = ""
    optional: bool = False


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


# --- containers ----------------------------------------------------------------------------------------------


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


class GRPCAction(Struct, frozen=True, kw_only=True):
    port: int
    service: str | None = None


class Probe(Struct, frozen=True, kw_only=True):
    """A probe; times in seconds. Exactly one of exec, http_get, tcp_socket, grpc is set."""

    exec_: ExecAction | None = None
    http_get: HTTPGetAction | None = None
    tcp_socket: TCPSocketAction | None = None
    grpc: GRPCAction | None = None
    initial_delay_seconds: int = 0
    timeout_seconds: int = 1
    period_seconds: int = 10
    success_threshold: int = 1
    failure_threshold: int = 3
    termination_grace_period_seconds: int | None = None


class SleepAction(Struct, frozen=True, kw_only=True):
    seconds: int = 0


class LifecycleHandler(Struct, frozen=True, kw_only=True):
    """What a hook does. One of them is set, or tcpSocket, which nobody runs."""

    exec_: ExecAction | None = None
    http_get: HTTPGetAction | None = None
    sleep: SleepAction | None = None


class Lifecycle(Struct, frozen=True, kw_only=True):
    post_start: LifecycleHandler | None = None
    pre_stop: LifecycleHandler | None = None


class ResourceRequirements(Struct, frozen=True, kw_only=True):
    requests: dict[str, Quantity] = {}
    limits: dict[str, Quantity] = {}


class ContainerResizePolicy(Struct, frozen=True, kw_only=True):
    """What a change of a resource, cpu or memory, means to the container: NotRequired or RestartContainer."""

    resource_name: str = ""
    restart_policy: str = ""


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
    resize_policy: tuple[ContainerResizePolicy, ...] = ()
    volume_mounts: tuple[VolumeMount, ...] = ()
    liveness_probe: Probe | None = None
    readiness_probe: Probe | None = None
    startup_probe: Probe | None = None
    lifecycle: Lifecycle | None = None
    image_pull_policy: str = "IfNotPresent"
    restart_policy: str = ""
    termination_message_path: str = "/dev/termination-log"
    tty: bool = False
    stdin: bool = False
    stdin_once: bool = False
    security_context: SecurityContext = SecurityContext()


class EphemeralContainer(Container, frozen=True, kw_only=True):
    """A container that was added to a running pod (KEP-277). ``target_container_name`` has the processes it sees."""

    target_container_name: str = ""


# --- scheduling ----------------------------------------------------------------------------------------------


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


class PodAffinityTerm(Struct, frozen=True, kw_only=True):
    """Read for the namespaces that it looks into; none means the pod's own."""

    namespaces: tuple[str, ...] = ()
    namespace_selector: LabelSelector | None = None


class WeightedPodAffinityTerm(Struct, frozen=True, kw_only=True):
    pod_affinity_term: PodAffinityTerm = PodAffinityTerm()


class PodAffinity(Struct, frozen=True, kw_only=True):
    """Of pods that are to be near each other, or apart."""

    required_during_scheduling_ignored_during_execution: tuple[PodAffinityTerm, ...] = ()
    preferred_during_scheduling_ignored_during_execution: tuple[WeightedPodAffinityTerm, ...] = ()


class Affinity(Struct, frozen=True, kw_only=True):
    node_affinity: NodeAffinity | None = None
    pod_affinity: PodAffinity | None = None
    pod_anti_affinity: PodAffinity | None = None


class Toleration(Struct, frozen=True, kw_only=True):
    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""
    toleration_seconds: int | None = None


class PodReadinessGate(Struct, frozen=True, kw_only=True):
    condition_type: str


class PodSchedulingGate(Struct, frozen=True, kw_only=True):
    name: str = ""


class LocalObjectReference(Struct, frozen=True, kw_only=True):
    """Something of the pod's own namespace."""

    name: str = ""


class PodSpec(Struct, frozen=True, kw_only=True):
    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()
    ephemeral_containers: tuple[EphemeralContainer, ...] = ()
    volumes: tuple[Volume, ...] = ()
    image_pull_secrets: tuple[LocalObjectReference, ...] = ()
    restart_policy: str = "Always"
    termination_grace_period_seconds: int = 30
    node_name: str = ""
    node_selector: dict[str, str] = {}
    affinity: Affinity | None = None
    tolerations: tuple[Toleration, ...] = ()
    scheduler_name: str = "default-scheduler"
    scheduling_gates: tuple[PodSchedulingGate, ...] = ()
    priority: int = 0
    priority_class_name: str = ""
    active_deadline_seconds: int | None = None
    host_network: bool = False
    host_pid: bool = msgspec.field(default=False, name="hostPID")
    host_ipc: bool = msgspec.field(default=False, name="hostIPC")
    host_users: bool = True
    share_process_namespace: bool = False
    hostname: str = ""
    subdomain: str = ""
    set_hostname_as_fqdn: bool = msgspec.field(default=False, name="setHostnameAsFQDN")
    host_aliases: tuple[HostAlias, ...] = ()
    dns_policy: str = "ClusterFirst"
    dns_config: PodDNSConfig = PodDNSConfig()
    service_account_name: str = ""
    security_context: PodSecurityContext = PodSecurityContext()
    readiness_gates: tuple[PodReadinessGate, ...] = ()
    overhead: dict[str, Quantity] = {}
    resources: ResourceRequirements | None = None
    """Pod-level resources (KEP-2837); where they name a resource they stand for the containers' sum."""


# --- status --------------------------------------------------------------------------------------------------


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


class VolumeMountStatus(Struct, frozen=True, kw_only=True):
    name: str
    mount_path: str
    read_only: bool = False
    recursive_read_only: str = ""


class LinuxContainerUser(Struct, frozen=True, kw_only=True):
    """Who the first process of a container was when it began."""

    uid: int
    gid: int
    supplemental_groups: tuple[int, ...] = ()


class ContainerUser(Struct, frozen=True, kw_only=True):
    linux: LinuxContainerUser | None = None


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
    allocated_resources: dict[str, Quantity] = {}
    """Requests that its node has set aside for it."""
    resources: ResourceRequirements | None = None
    """What it has, as far as its node knows."""
    volume_mounts: tuple[VolumeMountStatus, ...] = ()
    user: ContainerUser | None = None


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
    ephemeral_container_statuses: tuple[ContainerStatus, ...] = ()
    nominated_node_name: str = ""
    qos_class: str = ""
    observed_generation: int = 0


class Pod(Object, frozen=True, kw_only=True):
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()
