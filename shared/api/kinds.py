"""The kinds that the code itself works with: where each is served, and the struct it is read as.

This is the client's view. What the API server does with a kind (validation, columns, strategy) is in
``controlplane/apiserver/kinds``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec

from shared.api import apps, core, disruption, extensions, pod, policies, rbac
from shared.api.meta import Object

T = TypeVar("T", bound=Object)


@dataclass(frozen=True, slots=True)
class Resource(Generic[T]):
    """A kind as a client knows it: group, version, plural, kind, scope, and the struct of one object."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool
    type: type[T]

    @property
    def api_version(self) -> str:
        """``v1`` of the core group, else ``group/version``."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def group_resource(self) -> str:
        """``pods`` or ``deployments.apps``: how Kubernetes names a resource in messages."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The URL path; without a name the collection's, without a namespace over all namespaces."""
        parts = ["/apis", self.group, self.version] if self.group else ["/api", self.version]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        if name:
            parts.append(name)
        if subresource:
            parts.append(subresource)
        return "/".join(parts)


NAMESPACES = Resource("", "v1", "namespaces", "Namespace", False, core.Namespace)
NODES = Resource("", "v1", "nodes", "Node", False, core.Node)
PODS = Resource("", "v1", "pods", "Pod", True, pod.Pod)
CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap", True, core.ConfigMap)
SECRETS = Resource("", "v1", "secrets", "Secret", True, core.Secret)
SERVICE_ACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount", True, core.ServiceAccount)
SERVICES = Resource("", "v1", "services", "Service", True, core.Service)
ENDPOINTS = Resource("", "v1", "endpoints", "Endpoints", True, core.Endpoints)
EVENTS = Resource("", "v1", "events", "Event", True, core.Event)
EVENTS_V1 = Resource("events.k8s.io", "v1", "events", "Event", True, Object)
"""The same objects as ``EVENTS``, so not in ``ALL``."""
REPLICA_SETS = Resource("apps", "v1", "replicasets", "ReplicaSet", True, apps.ReplicaSet)
REPLICATION_CONTROLLERS = Resource(
    "", "v1", "replicationcontrollers", "ReplicationController", True, disruption.ReplicationController
)
POD_TEMPLATES = Resource("", "v1", "podtemplates", "PodTemplate", True, Object)
STATEFUL_SETS = Resource("apps", "v1", "statefulsets", "StatefulSet", True, disruption.StatefulSet)
DAEMON_SETS = Resource("apps", "v1", "daemonsets", "DaemonSet", True, Object)
CONTROLLER_REVISIONS = Resource("apps", "v1", "controllerrevisions", "ControllerRevision", True, Object)
DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment", True, apps.Deployment)
ENDPOINT_SLICES = Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", True, apps.EndpointSlice)
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease", True, apps.Lease)
CERTIFICATE_SIGNING_REQUESTS = Resource(
    "certificates.k8s.io", "v1", "certificatesigningrequests", "CertificateSigningRequest", False,
    apps.CertificateSigningRequest,
)  # fmt: skip

RBAC = "rbac.authorization.k8s.io"
ROLES = Resource(RBAC, "v1", "roles", "Role", True, rbac.Role)
CLUSTER_ROLES = Resource(RBAC, "v1", "clusterroles", "ClusterRole", False, rbac.ClusterRole)
ROLE_BINDINGS = Resource(RBAC, "v1", "rolebindings", "RoleBinding", True, rbac.RoleBinding)
CLUSTER_ROLE_BINDINGS = Resource(
    RBAC, "v1", "clusterrolebindings", "ClusterRoleBinding", False, rbac.ClusterRoleBinding
)

ADMISSION = "admissionregistration.k8s.io"
MUTATING_WEBHOOK_CONFIGURATIONS = Resource(
    ADMISSION, "v1", "mutatingwebhookconfigurations", "MutatingWebhookConfiguration", False, Object
)
VALIDATING_WEBHOOK_CONFIGURATIONS = Resource(
    ADMISSION, "v1", "validatingwebhookconfigurations", "ValidatingWebhookConfiguration", False, Object
)
VALIDATING_ADMISSION_POLICIES = Resource(
    ADMISSION, "v1", "validatingadmissionpolicies", "ValidatingAdmissionPolicy", False, Object
)
VALIDATING_ADMISSION_POLICY_BINDINGS = Resource(
    ADMISSION, "v1", "validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding", False, Object
)
MUTATING_ADMISSION_POLICIES = Resource(
    ADMISSION, "v1", "mutatingadmissionpolicies", "MutatingAdmissionPolicy", False, Object
)
MUTATING_ADMISSION_POLICY_BINDINGS = Resource(
    ADMISSION, "v1", "mutatingadmissionpolicybindings", "MutatingAdmissionPolicyBinding", False, Object
)
LIMIT_RANGES = Resource("", "v1", "limitranges", "LimitRange", True, policies.LimitRange)
RESOURCE_QUOTAS = Resource("", "v1", "resourcequotas", "ResourceQuota", True, policies.ResourceQuota)
PERSISTENT_VOLUMES = Resource("", "v1", "persistentvolumes", "PersistentVolume", False, policies.PersistentVolume)
PERSISTENT_VOLUME_CLAIMS = Resource(
    "", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", True, policies.PersistentVolumeClaim
)
PRIORITY_CLASSES = Resource(
    "scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", False, policies.PriorityClass
)
RUNTIME_CLASSES = Resource("node.k8s.io", "v1", "runtimeclasses", "RuntimeClass", False, Object)
STORAGE = "storage.k8s.io"
STORAGE_CLASSES = Resource(STORAGE, "v1", "storageclasses", "StorageClass", False, Object)
CSI_DRIVERS = Resource(STORAGE, "v1", "csidrivers", "CSIDriver", False, Object)
CSI_NODES = Resource(STORAGE, "v1", "csinodes", "CSINode", False, Object)
CSI_STORAGE_CAPACITIES = Resource(STORAGE, "v1", "csistoragecapacities", "CSIStorageCapacity", True, Object)
VOLUME_ATTACHMENTS = Resource(STORAGE, "v1", "volumeattachments", "VolumeAttachment", False, Object)
VOLUME_ATTRIBUTES_CLASSES = Resource(STORAGE, "v1", "volumeattributesclasses", "VolumeAttributesClass", False, Object)
NETWORKING = "networking.k8s.io"
INGRESSES = Resource(NETWORKING, "v1", "ingresses", "Ingress", True, Object)
INGRESS_CLASSES = Resource(NETWORKING, "v1", "ingressclasses", "IngressClass", False, Object)
NETWORK_POLICIES = Resource(NETWORKING, "v1", "networkpolicies", "NetworkPolicy", True, Object)
SERVICE_CIDRS = Resource(NETWORKING, "v1", "servicecidrs", "ServiceCIDR", False, core.ServiceCIDR)
IP_ADDRESSES = Resource(NETWORKING, "v1", "ipaddresses", "IPAddress", False, Object)

JOBS = Resource("batch", "v1", "jobs", "Job", True, Object)
CRON_JOBS = Resource("batch", "v1", "cronjobs", "CronJob", True, Object)
HORIZONTAL_POD_AUTOSCALERS = Resource(
    "autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler", True, Object
)
POD_DISRUPTION_BUDGETS = Resource(
    "policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", True, disruption.PodDisruptionBudget
)
HORIZONTAL_POD_AUTOSCALERS_V1 = Resource(
    "autoscaling", "v1", "horizontalpodautoscalers", "HorizontalPodAutoscaler", True, Object
)
"""The same objects as ``HORIZONTAL_POD_AUTOSCALERS``, so not in ``ALL``."""

CUSTOM_RESOURCE_DEFINITIONS = Resource(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", False,
    extensions.CustomResourceDefinition,
)  # fmt: skip
API_SERVICES = Resource("apiregistration.k8s.io", "v1", "apiservices", "APIService", False, Object)

ALL: tuple[Resource[Object], ...] = (
    NAMESPACES, NODES, PODS, CONFIG_MAPS, SECRETS, SERVICE_ACCOUNTS, SERVICES, ENDPOINTS, EVENTS, REPLICA_SETS,
    DEPLOYMENTS, ENDPOINT_SLICES, LEASES, CERTIFICATE_SIGNING_REQUESTS, ROLES, CLUSTER_ROLES, ROLE_BINDINGS,
    CLUSTER_ROLE_BINDINGS, CUSTOM_RESOURCE_DEFINITIONS,
    MUTATING_WEBHOOK_CONFIGURATIONS, VALIDATING_WEBHOOK_CONFIGURATIONS,
    VALIDATING_ADMISSION_POLICIES, VALIDATING_ADMISSION_POLICY_BINDINGS,
    MUTATING_ADMISSION_POLICIES, MUTATING_ADMISSION_POLICY_BINDINGS,
    REPLICATION_CONTROLLERS, POD_TEMPLATES, STATEFUL_SETS, DAEMON_SETS, CONTROLLER_REVISIONS,
    JOBS, CRON_JOBS, HORIZONTAL_POD_AUTOSCALERS, POD_DISRUPTION_BUDGETS,
    LIMIT_RANGES, RESOURCE_QUOTAS, PERSISTENT_VOLUMES, PERSISTENT_VOLUME_CLAIMS, PRIORITY_CLASSES, RUNTIME_CLASSES,
    STORAGE_CLASSES, CSI_DRIVERS, CSI_NODES, CSI_STORAGE_CAPACITIES, VOLUME_ATTACHMENTS, VOLUME_ATTRIBUTES_CLASSES,
    INGRESSES, INGRESS_CLASSES, NETWORK_POLICIES, SERVICE_CIDRS, IP_ADDRESSES,
    API_SERVICES,
)  # type: ignore[assignment]  # fmt: skip

_DECODERS = tuple(msgspec.json.Decoder(resource.type) for resource in ALL)
"""msgspec works a type out when it first decodes one, and the process crashes when two threads do that at the same
time. So all types are worked out here, at import, by one."""

NODE_LEASE_NAMESPACE = "kube-node-lease"
"""A node's Lease here lives as long as the node heartbeats; its deletion is the news that the node is gone."""
