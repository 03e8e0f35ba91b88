"""/etc/hosts, /etc/hostname and /etc/resolv.conf of a pod: their text, and writing them. The text is pure.

hosts is what the kubelet writes (pkg/kubelet/kubelet_pods.go, hostsFileContent).
"""

from __future__ import annotations

from pathlib import Path

from agent.pods.volumes.base import PodPaths

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


def hosts_text(address: str, hostname: str) -> str:
    """/etc/hosts of a pod with its own network."""
    lines = "".join(f"{ip}\t{names}\n" for ip, names in LOCAL)
    return f"{HEADER}{lines}{address}\t{hostname}\n"


def host_network_hosts_text(host: str) -> str:
    """/etc/hosts of a pod on the host's network: the host's own."""
    return HOST_NETWORK_HEADER + host


def resolv_conf_text(host: str, upstream: str) -> str:
    """/etc/resolv.conf: the host's, or the upstream servers where the host has only a stub on its loopback."""
    servers = [line.split()[1] for line in host.splitlines() if line.startswith("nameserver") and len(line.split()) > 1]
    return upstream if upstream and servers and all(s == RESOLVED_STUB for s in servers) else host


def write_host_files(paths: PodPaths, address: str, hostname: str, host_network: bool) -> None:
    """Write the three files, in place where they exist (a bind mount holds on to the inode). Blocking."""
    paths.root.mkdir(parents=True, exist_ok=True, mode=0o700)
    hosts = host_network_hosts_text(_read("/etc/hosts")) if host_network else hosts_text(address, hostname)
    resolv_conf = resolv_conf_text(_read("/etc/resolv.conf"), _read(RESOLVED_UPSTREAM))
    for path, text in ((paths.hosts, hosts), (paths.hostname, hostname + "\n"), (paths.resolv_conf, resolv_conf)):
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
            path.chmod(0o644)


def _read(path: str | Path) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""  # a host without the file gives its pods an empty one
