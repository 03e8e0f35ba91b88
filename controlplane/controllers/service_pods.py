"""Which pods stand behind a service, and at what addresses and ports: what Endpoints and EndpointSlices agree on.

Pure functions over frozen structs. The rules are those of k8s.io/endpointslice/util and
k8s.io/kubernetes pkg/controller/util/endpoint.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from controlplane.controllers import ownership, pods
from controlplane.controllers.base import Key
from shared.api.core import Service, ServicePort
from shared.api.meta import JSON
from shared.api.pod import Pod
from shared.client.cache import Cache

HEADLESS_LABEL = "service.kubernetes.io/headless"


def has_endpoints(service: Service) -> bool:
    """Whether endpoints are made for the service: it selects pods and is no alias of a name elsewhere."""
    return bool(service.spec.selector) and service.spec.type != "ExternalName"


def is_headless(service: Service) -> bool:
    return service.spec.cluster_ip == "None"


def selects(service: Service, pod: Pod) -> bool:
    """Whether the service's selector matches the pod; an empty one matches nothing."""
    if pod.metadata.namespace != service.metadata.namespace or not has_endpoints(service):
        return False
    return service.spec.selector.items() <= pod.metadata.labels.items()


def families(service: Service) -> Sequence[str]:
    """The service's address families, IPv4 where it does not say."""
    return service.spec.ip_families or ("IPv4",)


def address(pod: Pod, family: str) -> str:
    """The pod's address of that family; empty if it has none (yet)."""
    known = [ip.ip for ip in pod.status.pod_ips] or [pod.status.pod_ip]
    return next((ip for ip in known if ip and (":" in ip) == (family == "IPv6")), "")


def is_listed(pod: Pod, family: str, *, terminating: bool) -> bool:
    """Whether the pod has a place in endpoints (ShouldPodBeInEndpoints): it has an address and has not ended;
    ``terminating`` says whether pods that are being deleted have one."""
    if pods.is_finished(pod) or not address(pod, family):
        return False
    return terminating or pod.metadata.deletion_timestamp is None


def target_port(pod: Pod, port: ServicePort) -> int | None:
    """The pod's port number that the service's port leads to; None if the pod has no port of that name
    (FindPort)."""
    target = port.target_port if port.target_port not in (None, "", 0) else port.port
    if isinstance(target, int):
        return target
    sidecars = (container for container in pod.spec.init_containers if container.restart_policy == "Always")
    for container in (*pod.spec.containers, *sidecars):
        for candidate in container.ports:
            if candidate.name == target and candidate.protocol == port.protocol:
                return candidate.container_port
    return None


def hostname(pod: Pod, service: Service) -> str:
    """The name that DNS gives the pod under the service; empty unless spec.subdomain names this service."""
    return pod.spec.hostname if pod.spec.subdomain == service.metadata.name else ""


def target_ref(pod: Pod) -> JSON:
    """The reference to the pod in an endpoint."""
    meta = pod.metadata
    return {"kind": "Pod", "namespace": meta.namespace, "name": meta.name, "uid": meta.uid}


def keys_of_change(services: Cache[Service], old: Pod | None, new: Pod | None) -> Iterable[Key]:
    """The services that the change of a pod matters to: those that select it, before or after. ``services`` has
    the index ``ownership.NAMESPACE``."""
    if old is not None and new is not None and _seen(old) == _seen(new):
        return ()
    pod = new or old
    assert pod is not None
    found: list[Key] = []
    for service in services.by_index(ownership.NAMESPACE, pod.metadata.namespace):
        if (new is not None and selects(service, new)) or (old is not None and selects(service, old)):
            found.append((service.metadata.namespace, service.metadata.name))
    return found


def _seen(pod: Pod) -> tuple[object, ...]:
    """All that endpoints show of a pod, or choose it by."""
    return (
        pod.metadata.uid,
        pod.metadata.labels,
        pod.metadata.deletion_timestamp is None,
        pods.is_finished(pod),
        pods.is_ready(pod),
        pod.status.pod_ip,
        pod.status.pod_ips,
        pod.spec.node_name,
        pod.spec.hostname,
        pod.spec.subdomain,
    )
