"""Which settings of the kernel a pod may have in its own namespaces. Pure.

The rules and words are those of pkg/kubelet/sysctl (safe_sysctls.go, namespaces.go, allowlist.go).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

SAFE_SYSCTLS = frozenset(
    (
        "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_syncookies",
        "net.ipv4.ping_group_range", "net.ipv4.ip_unprivileged_port_start", "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem",
    )
)  # fmt: skip
"""Settings of the kernel that a pod may always have: of its namespaces alone, and harmless to others."""

_IPC = ("kernel.shm", "kernel.msg", "fs.mqueue.")
_NAMES = {"ipc": "host ipc", "net": "host net"}


def dotted(name: str) -> str:
    """A setting may be written with slashes, as below /proc/sys."""
    return name.replace("/", ".")


def namespace_of(sysctl: str) -> str:
    """``ipc`` or ``net``, where each pod has its own; empty for a setting of the whole host (pattern or name)."""
    if sysctl.startswith(_IPC) or sysctl.rstrip("*") == "kernel.sem":
        return "ipc"
    return "net" if sysctl.startswith("net.") else ""


def check_patterns(patterns: Iterable[str]) -> None:
    """Raises ValueError for a pattern of ``--allowed-unsafe-sysctls`` that would let pods change the host."""
    for pattern in patterns:
        if not namespace_of(pattern):
            raise ValueError(f"the sysctls {pattern!r} are not known to be namespaced")


def forbidden_sysctl(names: Iterable[str], allowed: Sequence[str], *, host_ipc: bool, host_net: bool) -> str:
    """What is wrong with the first setting that the pod may not have; empty for nothing."""
    hosts = {"ipc": host_ipc, "net": host_net}
    for name in names:
        if name not in SAFE_SYSCTLS and not any(_matches(name, pattern) for pattern in allowed):
            return f'"{name}" not allowlisted'
        namespace = namespace_of(name)
        if hosts.get(namespace):
            return f'"{name}" not allowed with {_NAMES[namespace]} enabled'
    return ""


def _matches(name: str, pattern: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern
