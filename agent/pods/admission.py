"""Which pods this node takes: ``refusal(pod, abilities)`` says what it cannot do for one that was bound to it. Pure.

A refused pod fails, with the reason and the words of the kubelet's own admission (pkg/security/apparmor/validate.go,
pkg/kubelet/kubelet.go), and whatever made it makes another one. So what no agent
could do at all is refused or warned about by the server already; here is what depends on the host.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from agent.pods.security import run_as_group
from agent.sysctls import dotted, forbidden_sysctl
from shared.api.pod import Container, Pod
from shared.api.security import AppArmorProfile


@dataclass(frozen=True, slots=True)
class Abilities:
    """What this host offers beyond what every host does."""

    app_armor: bool = False
    recursive_read_only: bool = False
    """The engine can make all mounts below a read-only one read-only (API 1.44)."""
    unsafe_sysctls: tuple[str, ...] = ()
    """Names, or prefixes that end with ``*``, that its admin allows."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Kubernetes' reason, and what the pod asked for."""

    reason: str
    message: str


def refusal(pod: Pod, abilities: Abilities) -> Refusal | None:
    """Why this node does not take the pod; None when it does."""
    names = [dotted(sysctl.name) for sysctl in pod.spec.security_context.sysctls]
    host_ipc, host_net = pod.spec.host_ipc, pod.spec.host_network
    if forbidden := forbidden_sysctl(names, abilities.unsafe_sysctls, host_ipc=host_ipc, host_net=host_net):
        return Refusal("SysctlForbidden", f"forbidden sysctl: {forbidden}")
    if not abilities.app_armor and any(_confined(pod, container) for container in _every(pod)):
        return Refusal("AppArmor", "Cannot enforce AppArmor: AppArmor is not enabled on the host")
    strict = pod.spec.security_context.supplemental_groups_policy == "Strict"
    if strict and any(run_as_group(pod, container) is None for container in _every(pod)):
        text = "SupplementalGroupsPolicy=Strict is not supported in this node for containers without runAsGroup"
        return Refusal("SupplementalGroupsPolicyNotSupported", text)
    return None


def _every(pod: Pod) -> Iterable[Container]:
    return (*pod.spec.init_containers, *pod.spec.containers)


def _confined(pod: Pod, container: Container) -> bool:
    profile: AppArmorProfile | None = container.security_context.app_armor_profile
    profile = profile if profile is not None else pod.spec.security_context.app_armor_profile
    return profile is not None and profile.type != "Unconfined"
