"""The controllers that the leader runs: one line each, with the name that their Events come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from controlplane.controllers.base import Context, Controller
from controlplane.controllers.cluster_role_aggregation import ClusterRoleAggregation
from controlplane.controllers.csr import CsrController
from controlplane.controllers.custom_resources import CustomResourceFinalizer, CustomResourceNames
from controlplane.controllers.deployment import DeploymentController
from controlplane.controllers.disruption import DisruptionController
from controlplane.controllers.endpoint_slices import EndpointSliceController
from controlplane.controllers.endpoints import EndpointsController
from controlplane.controllers.events import Recorder
from controlplane.controllers.garbage import GarbageCollector
from controlplane.controllers.kubernetes_service import Address, KubernetesServiceController
from controlplane.controllers.namespace import Elsewhere, NamespaceController
from controlplane.controllers.node_ipam import NodeIpamController
from controlplane.controllers.node_lifecycle import NodeLifecycleController
from controlplane.controllers.pod_gc import PodGcController
from controlplane.controllers.replicaset import ReplicaSetController
from controlplane.controllers.resource_quota import ResourceQuotaController
from controlplane.controllers.service_account import ServiceAccountController
from controlplane.controllers.service_cidrs import ServiceCidrController
from controlplane.controllers.system_namespaces import SystemNamespacesController
from controlplane.controllers.taint_eviction import TaintEvictionController
from controlplane.controllers.token_cleaner import TokenCleaner
from controlplane.controllers.volume_protection import ClaimProtection, VolumeProtection
from shared.pki import CertificateAuthority


def controllers(
    context: Context,
    recorder: Recorder,
    ca: CertificateAuthority,
    *,
    cluster_cidr: str,
    address: Address,
    elsewhere: Elsewhere | None = None,
) -> list[Controller]:
    """All of them. Constructing one takes its caches and adds its indexes; nothing runs yet."""
    rows: list[tuple[str, Callable[[Context], Controller]]] = [
        ("deployment-controller", DeploymentController),
        ("replicaset-controller", ReplicaSetController),
        ("node-controller", NodeLifecycleController),
        ("taint-eviction-controller", TaintEvictionController),
        ("node-ipam-controller", lambda context: NodeIpamController(context, cluster_cidr)),
        ("pod-garbage-collector", PodGcController),
        ("garbage-collector-controller", GarbageCollector),
        ("namespace-controller", lambda context: NamespaceController(context, elsewhere=elsewhere)),
        ("system-namespaces", SystemNamespacesController),
        ("serviceaccount-controller", lambda context: ServiceAccountController(context, ca.pem.decode())),
        ("kubernetes-service", lambda context: KubernetesServiceController(context, address)),
        ("service-cidr-controller", ServiceCidrController),
        ("endpoint-controller", EndpointsController),
        ("endpoint-slice-controller", EndpointSliceController),
        ("disruption-controller", DisruptionController),
        ("token-cleaner", TokenCleaner),
        ("clusterrole-aggregation-controller", ClusterRoleAggregation),
        ("crd-naming", CustomResourceNames),
        ("crd-finalizer", CustomResourceFinalizer),
        ("resourcequota-controller", ResourceQuotaController),
        ("persistentvolumeclaim-protection-controller", ClaimProtection),
        ("persistentvolume-protection-controller", VolumeProtection),
        ("csr-controller", lambda context: CsrController(context, ca)),
    ]
    return [make(replace(context, events=recorder.named(name))) for name, make in rows]
