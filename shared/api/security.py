"""What a pod's spec says of the rights of its processes, and of names and DNS inside of it, as frozen structs.

Pure; see ``meta`` for the rules. None means that the field is not set, which is not always what its zero value means.
"""

from __future__ import annotations

from shared.api.meta import Struct


class Capabilities(Struct, frozen=True, kw_only=True):
    add: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()


class SeccompProfile(Struct, frozen=True, kw_only=True):
    """``type`` is RuntimeDefault, Unconfined, or Localhost, where ``localhost_profile`` is a file of the node's."""

    type: str = ""
    localhost_profile: str = ""


class AppArmorProfile(Struct, frozen=True, kw_only=True):
    """As ``SeccompProfile``; ``localhost_profile`` is a profile loaded on the node."""

    type: str = ""
    localhost_profile: str = ""


class Sysctl(Struct, frozen=True, kw_only=True):
    name: str = ""
    value: str = ""


class SecurityContext(Struct, frozen=True, kw_only=True):
    """Of one container; what is set here counts before the pod's."""

    run_as_user: int | None = None
    run_as_group: int | None = None
    run_as_non_root: bool | None = None
    privileged: bool = False
    read_only_root_filesystem: bool = False
    allow_privilege_escalation: bool | None = None
    capabilities: Capabilities = Capabilities()
    proc_mount: str = ""
    seccomp_profile: SeccompProfile | None = None
    app_armor_profile: AppArmorProfile | None = None


class PodSecurityContext(Struct, frozen=True, kw_only=True):
    """Of all containers of a pod, and of its volumes."""

    run_as_user: int | None = None
    run_as_group: int | None = None
    run_as_non_root: bool | None = None
    supplemental_groups: tuple[int, ...] = ()
    supplemental_groups_policy: str = ""
    fs_group: int | None = None
    fs_group_change_policy: str = ""
    sysctls: tuple[Sysctl, ...] = ()
    seccomp_profile: SeccompProfile | None = None
    app_armor_profile: AppArmorProfile | None = None


class HostAlias(Struct, frozen=True, kw_only=True):
    ip: str = ""
    hostnames: tuple[str, ...] = ()


class PodDNSConfigOption(Struct, frozen=True, kw_only=True):
    name: str = ""
    value: str | None = None


class PodDNSConfig(Struct, frozen=True, kw_only=True):
    nameservers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[PodDNSConfigOption, ...] = ()
