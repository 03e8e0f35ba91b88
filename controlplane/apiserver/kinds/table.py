"""The table of kinds: one row for each kind that the server serves. To serve one more, add its row here.

Immutable after import.
"""

from __future__ import annotations

from collections.abc import Mapping

from controlplane.apiserver.kinds.admission_policies import (
    MUTATING_ADMISSION_POLICY,
    MUTATING_ADMISSION_POLICY_BINDING,
    VALIDATING_ADMISSION_POLICY,
    VALIDATING_ADMISSION_POLICY_BINDING,
)
from controlplane.apiserver.kinds.apiservice import API_SERVICE
from controlplane.apiserver.kinds.autoscaler import HORIZONTAL_POD_AUTOSCALER
from controlplane.apiserver.kinds.autoscaler_v1 import HORIZONTAL_POD_AUTOSCALER_V1
from controlplane.apiserver.kinds.base import Kind
from controlplane.apiserver.kinds.configuration import CONFIG_MAP, SECRET
from controlplane.apiserver.kinds.controllerrevision import CONTROLLER_REVISION
from controlplane.apiserver.kinds.crd import CUSTOM_RESOURCE_DEFINITION
from controlplane.apiserver.kinds.cronjob import CRON_JOB
from controlplane.apiserver.kinds.csi import CSI_DRIVER, CSI_NODE, CSI_STORAGE_CAPACITY, VOLUME_ATTACHMENT
from controlplane.apiserver.kinds.csr import CERTIFICATE_SIGNING_REQUEST
from controlplane.apiserver.kinds.daemonset import DAEMON_SET
from controlplane.apiserver.kinds.deployment import DEPLOYMENT
from controlplane.apiserver.kinds.disruption import POD_DISRUPTION_BUDGET
from controlplane.apiserver.kinds.endpoints import ENDPOINT_SLICE, ENDPOINTS
from controlplane.apiserver.kinds.event import EVENT
from controlplane.apiserver.kinds.event_v1 import EVENT_V1
from controlplane.apiserver.kinds.ingress import INGRESS, INGRESS_CLASS
from controlplane.apiserver.kinds.job import JOB
from controlplane.apiserver.kinds.lease import LEASE
from controlplane.apiserver.kinds.limitrange import LIMIT_RANGE
from controlplane.apiserver.kinds.namespace import NAMESPACE
from controlplane.apiserver.kinds.networkpolicy import NETWORK_POLICY
from controlplane.apiserver.kinds.node import NODE
from controlplane.apiserver.kinds.persistentvolume import PERSISTENT_VOLUME
from controlplane.apiserver.kinds.persistentvolumeclaim import PERSISTENT_VOLUME_CLAIM
from controlplane.apiserver.kinds.pod import POD
from controlplane.apiserver.kinds.podtemplates import POD_TEMPLATE
from controlplane.apiserver.kinds.priorityclass import PRIORITY_CLASS
from controlplane.apiserver.kinds.rbac import CLUSTER_ROLE, CLUSTER_ROLE_BINDING, ROLE, ROLE_BINDING
from controlplane.apiserver.kinds.replicaset import REPLICA_SET
from controlplane.apiserver.kinds.replicationcontroller import REPLICATION_CONTROLLER
from controlplane.apiserver.kinds.resourcequota import RESOURCE_QUOTA
from controlplane.apiserver.kinds.reviews import REVIEWS
from controlplane.apiserver.kinds.runtimeclass import RUNTIME_CLASS
from controlplane.apiserver.kinds.service import SERVICE
from controlplane.apiserver.kinds.serviceaccount import SERVICE_ACCOUNT
from controlplane.apiserver.kinds.servicecidr import IP_ADDRESS, SERVICE_CIDR
from controlplane.apiserver.kinds.statefulset import STATEFUL_SET
from controlplane.apiserver.kinds.storageclass import STORAGE_CLASS, VOLUME_ATTRIBUTES_CLASS
from controlplane.apiserver.kinds.webhooks import MUTATING_WEBHOOK_CONFIGURATION, VALIDATING_WEBHOOK_CONFIGURATION

KINDS: tuple[Kind, ...] = (
    CONFIG_MAP,
    ENDPOINTS,
    EVENT,
    NAMESPACE,
    NODE,
    POD,
    SECRET,
    SERVICE_ACCOUNT,
    SERVICE,
    DEPLOYMENT,
    REPLICA_SET,
    STATEFUL_SET,
    DAEMON_SET,
    CONTROLLER_REVISION,
    REPLICATION_CONTROLLER,
    POD_TEMPLATE,
    JOB,
    CRON_JOB,
    HORIZONTAL_POD_AUTOSCALER,
    POD_DISRUPTION_BUDGET,
    CERTIFICATE_SIGNING_REQUEST,
    LEASE,
    ENDPOINT_SLICE,
    CLUSTER_ROLE_BINDING,
    CLUSTER_ROLE,
    ROLE_BINDING,
    ROLE,
    MUTATING_WEBHOOK_CONFIGURATION,
    VALIDATING_WEBHOOK_CONFIGURATION,
    VALIDATING_ADMISSION_POLICY,
    VALIDATING_ADMISSION_POLICY_BINDING,
    MUTATING_ADMISSION_POLICY,
    MUTATING_ADMISSION_POLICY_BINDING,
    EVENT_V1,
    HORIZONTAL_POD_AUTOSCALER_V1,
    CUSTOM_RESOURCE_DEFINITION,
    *REVIEWS,
    LIMIT_RANGE,
    RESOURCE_QUOTA,
    PERSISTENT_VOLUME,
    PERSISTENT_VOLUME_CLAIM,
    PRIORITY_CLASS,
    RUNTIME_CLASS,
    STORAGE_CLASS,
    CSI_DRIVER,
    CSI_NODE,
    CSI_STORAGE_CAPACITY,
    VOLUME_ATTACHMENT,
    VOLUME_ATTRIBUTES_CLASS,
    INGRESS,
    INGRESS_CLASS,
    NETWORK_POLICY,
    SERVICE_CIDR,
    IP_ADDRESS,
    API_SERVICE,
)

BY_RESOURCE: Mapping[tuple[str, str, str], Kind] = {
    (kind.resource.group, kind.resource.version, kind.resource.plural): kind for kind in KINDS
}
"""By (group, version, plural), as a path names it."""

BY_GVK: Mapping[tuple[str, str, str], Kind] = {
    (kind.resource.group, kind.resource.version, kind.resource.kind): kind for kind in KINDS
}
"""By (group, version, kind), as a body names it."""
