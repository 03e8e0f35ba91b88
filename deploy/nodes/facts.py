"""What a host is: read with one plain shell script, parsed and judged by pure functions."""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass

SCRIPT = """
echo uid=$(id -u)
echo sudo=$(sudo -n true 2>/dev/null && echo yes)
echo hostname=$(hostname 2>/dev/null || cat /etc/hostname)
echo machine=$(uname -m)
echo os=$(. /etc/os-release 2>/dev/null; echo "$PRETTY_NAME")
echo python=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
engine='docker version -f {{.Server.Version}}'
echo docker=$({ $engine || sudo -n $engine; } 2>/dev/null)
for tool in nft ip tar; do
  echo $tool=$(PATH=$PATH:/usr/sbin:/sbin command -v $tool)
done
echo disk=$(df -Pk /var/lib | awk 'NR==2 {print $4}')
echo systemd=$(test -d /run/systemd/system && echo yes)
echo release=$(basename "$(readlink /opt/longboat/current 2>/dev/null)")
"""
"""Constant text, no input in it. Runs as the SSH user; ``sudo -n`` where that is not root."""

DISK_NEEDED = 512 * 1024
"""KiB free at /var/lib: the agent, its state, and something for logs."""


@dataclass(frozen=True, slots=True)
class Facts:
    """A host as found. Empty text means that there is none."""

    root: bool
    sudo: bool
    hostname: str
    machine: str
    os: str
    python: str
    docker: str
    missing: tuple[str, ...]
    disk: int
    systemd: bool
    release: str
    """The agent's release that is installed."""


def parse(text: str) -> Facts:
    """What SCRIPT printed."""
    values = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    return Facts(
        root=values.get("uid") == "0",
        sudo=values.get("sudo") == "yes",
        hostname=values.get("hostname", "").strip().lower(),
        machine=values.get("machine", ""),
        os=values.get("os", ""),
        python=values.get("python", ""),
        docker=values.get("docker", ""),
        missing=tuple(tool for tool in ("nft", "ip", "tar") if not values.get(tool)),
        disk=int(values["disk"]) if values.get("disk", "").isdigit() else 0,
        systemd=values.get("systemd") == "yes",
        release=values.get("release", ""),
    )


def problems(facts: Facts, *, python: str = "", machine: str = "") -> list[str]:
    """What must be mended before an agent can run, in plain words; nothing when all is well.

    ``python`` and ``machine`` are what the artefact was built for: this interpreter's by default.
    """
    python = python or f"{sys.version_info.major}.{sys.version_info.minor}"
    machine = machine or platform.machine()
    found = []
    if not facts.root and not facts.sudo:
        found.append("needs root: log in as root, or allow this user sudo without a password")
    if not facts.hostname:
        found.append("has no hostname: set one with hostnamectl")
    if not facts.python:
        found.append(f"has no python3: install Python {python}")
    elif facts.python != python:
        found.append(f"has Python {facts.python}, the agent is built for {python}: run this command with the same")
    if facts.machine != machine:
        found.append(f"is {facts.machine}, the agent is built for {machine}: run this command on such a machine")
    if not facts.docker:
        found.append("has no Docker engine that answers: install one (Debian: apt-get install docker.io) and start it")
    if facts.missing:
        packages = {"nft": "nftables", "ip": "iproute2", "tar": "tar"}
        found.append(f"lacks {', '.join(facts.missing)}: install {' '.join(packages[t] for t in facts.missing)}")
    if facts.disk < DISK_NEEDED:
        found.append(f"has {facts.disk // 1024} MiB free at /var/lib: free at least {DISK_NEEDED // 1024} MiB")
    return found
