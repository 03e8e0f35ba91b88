"""/etc/hosts, /etc/hostname and /etc/resolv.conf of a pod: their text, and writing them. The text is pure.

hosts is what the kubelet writes (pkg/kubelet/kubelet_pods.go, hostsFileContent). Names that are resolved are ``dns``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from agent.pods.dns import pod_resolv_conf
from agent.pods.hostnames import domain, short_hostname
from agent.pods.volumes.base import PodPaths
from shared.api.pod import Pod
from shared.api.security import HostAlias

HEADER = "# Kubernetes-managed hosts file.\n"
HOST_NETWORK_HEADER = "# Kubernetes-managed hosts file (host network).\n"
LOCAL = (
    ("127.0.0.1", "localhost"),
    ("::1", "localhost ip6-localhost ip6-loopback"),
    ("fe00::0", "ip6-localnet"),
    ("fe00::0", "ip6-mcastprefix"),
    ("fe00::1", "ip6-allnodes"),
    ("fe00::2", "ip6-allrouters"),
)
RESOLVED_STUB = "127.0.0.53"
RESOLVED_UPSTREAM = Path("/run/systemd/resolve/resolv.conf")


def hosts_text(address: str, hostname: str, domain: str = "", aliases: Sequence[HostAlias] = ()) -> str:
    """/etc/hosts of a pod with its own network; ``domain`` is what its subdomain gives it."""
    lines = "".join(f"{ip}\t{names}\n" for ip, names in LOCAL)
    names = f"{hostname}.{domain}\t{hostname}" if domain else hostname
    return f"{HEADER}{lines}{address}\t{names}\n{_aliases(aliases)}"


def host_network_hosts_text(host: str, aliases: Sequence[HostAlias] = ()) -> str:
    """/etc/hosts of a pod on the host's network: the host's own."""
    return HOST_NETWORK_HEADER + host + _aliases(aliases)


def _aliases(aliases: Sequence[HostAlias]) -> str:
    if not aliases:
        return ""
    lines = "".join("\t".join((alias.ip, *alias.hostnames)) + "\n" for alias in aliases)
    return f"\n# Entries added by HostAliases.\n{lines}"


def resolv_conf_text(host: str, upstream: str) -> str:
    """/etc/resolv.conf: the host's, or the upstream servers where the host has only a stub on its loopback."""
    servers = [line.split()[1] for line in host.splitlines() if line.startswith("nameserver") and len(line.split()) > 1]
    return upstream if upstream and servers and all(s == RESOLVED_STUB for s in servers) else host


def write_host_files(paths: PodPaths, pod: Pod, address: str, hostname: str) -> None:
    """Write the three files, in place where they exist (a bind mount holds on to the inode). Blocking."""
    paths.root.mkdir(parents=True, exist_ok=True, mode=0o700)
    aliases = pod.spec.host_aliases
    if pod.spec.host_network:
        hosts = host_network_hosts_text(_read("/etc/hosts"), aliases)
    else:
        hosts = hosts_text(address, short_hostname(pod), domain(pod), aliases)
    host = resolv_conf_text(_read("/etc/resolv.conf"), _read(RESOLVED_UPSTREAM))
    resolv_conf = pod_resolv_conf(host, pod.spec.dns_policy, pod.spec.dns_config)
    for path, text in ((paths.hosts, hosts), (paths.hostname, hostname + "\n"), (paths.resolv_conf, resolv_conf)):
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
            path.chmod(0o644)


def _read(path: str | Path) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""  # a host without the file gives its pods an empty one
