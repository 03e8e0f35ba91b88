"""What a pod is called inside: its hostname, and its full name where a subdomain gives it one. Pure.

The rules are the kubelet's (pkg/kubelet/kubelet_pods.go: GeneratePodHostNameAndDomain, truncatePodHostnameIfNeeded;
pkg/kubelet/util/util.go: GetNodenameForKernel).
"""

from __future__ import annotations

from shared.api.pod import Pod

CLUSTER_DOMAIN = "cluster.local"
LONGEST = 63
"""Characters of a hostname; a longer one is cut."""
KERNEL = 64
"""Characters that the kernel takes, which a full name may not exceed: it is never cut."""


class NameTooLong(Exception):
    """The pod's full name cannot be its hostname; the message is the kubelet's."""


def short_hostname(pod: Pod) -> str:
    """The pod's hostname: its spec's, else its name, cut to what Linux takes."""
    return (pod.spec.hostname or pod.metadata.name)[:LONGEST].rstrip("-.")


def domain(pod: Pod) -> str:
    """The domain that the pod's subdomain gives it; empty without one."""
    if not pod.spec.subdomain:
        return ""
    return f"{pod.spec.subdomain}.{pod.metadata.namespace}.svc.{CLUSTER_DOMAIN}"


def pod_hostname(pod: Pod) -> str:
    """What the pod's processes take for the host's name: the full name where ``setHostnameAsFQDN`` says so.

    A full name that is too long is shown short here, and refused by ``check_hostname``.
    """
    full = f"{short_hostname(pod)}.{domain(pod)}"
    if pod.spec.set_hostname_as_fqdn and domain(pod) and len(full) <= KERNEL:
        return full
    return short_hostname(pod)


def check_hostname(pod: Pod) -> None:
    """Raises NameTooLong."""
    full = f"{short_hostname(pod)}.{domain(pod)}"
    if pod.spec.set_hostname_as_fqdn and domain(pod) and len(full) > KERNEL:
        raise NameTooLong(
            f"failed to construct FQDN from pod hostname and cluster domain, FQDN {full} is too long "
            f"({KERNEL} characters is the max, {len(full)} characters requested)"
        )
