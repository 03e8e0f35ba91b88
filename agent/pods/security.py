"""What a container's processes may do, of the security contexts of its pod and its own. Pure.

The rules are those of pkg/securitycontext/util.go (DetermineEffectiveSecurityContext, AddNoNewPrivileges) and
pkg/kubelet/kuberuntime/security_context.go; texts are the kubelet's. Without a seccomp profile a container gets the
engine's own one, as with a kubelet that runs with ``--seccomp-default``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from agent.runtime.base import Security
from shared.api.pod import Container, Pod
from shared.api.security import AppArmorProfile, SeccompProfile

UNCONFINED = "unconfined"


class SecurityError(Exception):
    """The container may not run as it says; the message is the kubelet's, for CreateContainerConfigError."""


@dataclass(frozen=True, slots=True)
class ImageUser:
    """Who an image's processes run as: ``uid`` where the image says a number (or nothing: root), else ``name``."""

    uid: int | None = 0
    name: str = ""


def image_user(text: str) -> ImageUser:
    """From an image's ``USER``: ``user``, ``user:group``, by name or number."""
    user = text.partition(":")[0]
    if not user:
        return ImageUser()
    return ImageUser(int(user)) if user.isdecimal() else ImageUser(None, user)


def run_as_user(pod: Pod, container: Container) -> int | None:
    own = container.security_context.run_as_user
    return pod.spec.security_context.run_as_user if own is None else own


def run_as_group(pod: Pod, container: Container) -> int | None:
    own = container.security_context.run_as_group
    return pod.spec.security_context.run_as_group if own is None else own


def runs_as_non_root(pod: Pod, container: Container) -> bool:
    """Whether it must."""
    own = container.security_context.run_as_non_root
    return bool(pod.spec.security_context.run_as_non_root if own is None else own)


def needs_image_user(pod: Pod, container: Container) -> bool:
    """Whether what is asked for depends on who the image runs as."""
    user = run_as_user(pod, container)
    return user is None and (runs_as_non_root(pod, container) or run_as_group(pod, container) is not None)


def check_non_root(pod: Pod, container: Container, image: ImageUser) -> None:
    """Raises SecurityError where it must not be root and is, or may be (verifyRunAsNonRoot)."""
    if not runs_as_non_root(pod, container):
        return
    meta = pod.metadata
    where = f'(pod: "{meta.name}_{meta.namespace}({meta.uid})", container: {container.name})'
    user = run_as_user(pod, container)
    if user is not None:
        if user == 0:
            raise SecurityError(f"container's runAsUser breaks non-root policy {where}")
    elif image.uid == 0:
        raise SecurityError(f"container has runAsNonRoot and image will run as root {where}")
    elif image.uid is None:
        text = f"container has runAsNonRoot and image has non-numeric user ({image.name})"
        raise SecurityError(f"{text}, cannot verify user is non-root {where}")


def security(pod: Pod, container: Container, image: ImageUser) -> Security:
    """All but a seccomp profile of the node's, which ``seccomp_file`` names. Raises SecurityError."""
    check_non_root(pod, container, image)
    own, shared = container.security_context, pod.spec.security_context
    groups = dict.fromkeys(shared.supplemental_groups)
    if shared.fs_group is not None:
        groups[shared.fs_group] = None
    found = Security(
        user=_user(run_as_user(pod, container), run_as_group(pod, container), image),
        groups=tuple(groups),
        privileged=own.privileged,
        read_only_root=own.read_only_root_filesystem,
        no_new_privileges=own.allow_privilege_escalation is False,
        add=own.capabilities.add,
        drop=own.capabilities.drop,
        unmasked=own.proc_mount == "Unmasked",
    )
    profile = _app_armor(pod, container)
    if profile is not None and profile.type != "RuntimeDefault":
        local = profile.localhost_profile.removeprefix("localhost/")
        found = replace(found, app_armor=local if profile.type == "Localhost" else UNCONFINED)
    filter_ = _seccomp(pod, container)
    if filter_ is not None and filter_.type == "Unconfined":
        found = replace(found, seccomp=UNCONFINED)
    return found


def seccomp_file(pod: Pod, container: Container) -> str:
    """The profile below the node's own directory that the container asks for; empty for none."""
    profile = _seccomp(pod, container)
    if profile is None or profile.type != "Localhost" or container.security_context.privileged:
        return ""
    return profile.localhost_profile


def needs_own_sandbox(pod: Pod) -> bool:
    """Whether its namespaces must be made for it: a sandbox from the warm pool would have to be changed."""
    return bool(pod.spec.security_context.sysctls)


def leaves_traces(pod: Pod) -> bool:
    """Whether its containers may change the namespaces that they share in ways that outlive them (rules, settings of
    the kernel), or live in their sandbox's: nobody else gets the sandbox then."""
    if pod.spec.share_process_namespace or needs_own_sandbox(pod):
        return True
    every = (*pod.spec.init_containers, *pod.spec.containers, *pod.spec.ephemeral_containers)
    return any(
        each.security_context.privileged
        or each.security_context.capabilities.add
        or each.security_context.proc_mount == "Unmasked"
        for each in every
    )


def _user(user: int | None, group: int | None, image: ImageUser) -> str:
    """As the engine takes it; empty for the image's own."""
    if group is None:
        return "" if user is None else str(user)
    if user is not None:
        return f"{user}:{group}"
    return f"{image.name if image.uid is None else image.uid}:{group}"


def _seccomp(pod: Pod, container: Container) -> SeccompProfile | None:
    own = container.security_context.seccomp_profile
    return pod.spec.security_context.seccomp_profile if own is None else own


def _app_armor(pod: Pod, container: Container) -> AppArmorProfile | None:
    own = container.security_context.app_armor_profile
    return pod.spec.security_context.app_armor_profile if own is None else own
