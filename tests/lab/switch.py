"""The lab's network: a bridge in a namespace of its own, so that this machine's firewall never touches it.

The root namespace has one leg, at .254; a rule drops what would leave the lab through it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.lab.run import inside, ip, tool


@dataclass(frozen=True)
class Switch:
    """``prefix`` names everything it makes, ``network`` is the first three numbers of a /24."""

    prefix: str
    network: str

    @property
    def netns(self) -> str:
        return f"{self.prefix}sw"

    @property
    def bridge(self) -> str:
        return f"{self.prefix}br0"

    @property
    def uplink(self) -> str:
        return f"{self.prefix}r0"

    @property
    def gateway(self) -> str:
        return f"{self.network}.254"

    def up(self) -> None:
        if Path("/run/netns", self.netns).exists():
            return
        ip("netns", "add", self.netns)
        ip("link", "set", "lo", "up", netns=self.netns)
        ip("link", "add", self.bridge, "type", "bridge", "stp_state", "0", "forward_delay", "0", "mcast_snooping", "0",
           netns=self.netns)  # fmt: skip
        ip("link", "set", self.bridge, "up", netns=self.netns)
        # absent where the module is not loaded, and then there is nothing to turn off
        inside(self.netns, "sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=0", check=False)
        ip("link", "add", self.uplink, "type", "veth", "peer", "name", "up0", "netns", self.netns)
        ip("link", "set", "up0", "master", self.bridge, "up", netns=self.netns)
        ip("addr", "add", f"{self.gateway}/24", "dev", self.uplink)
        ip("link", "set", self.uplink, "up")
        rules = f"""table inet {self.prefix} {{ chain f {{
            type filter hook forward priority -10; policy accept;
            iifname "{self.uplink}" drop; oifname "{self.uplink}" drop; }}; }}\n"""
        tool("nft", "-f", "-", text=rules)

    def down(self) -> None:
        ip("netns", "del", self.netns, check=False)
        ip("link", "del", self.uplink, check=False)
        tool("nft", "delete", "table", "inet", self.prefix, check=False)

    def plug(self, host: int) -> None:
        """A host's namespace and its cable. The MAC is fixed: with a random one SSH after a restart is slow."""
        netns = self.host_netns(host)
        ip("netns", "add", netns)
        ip("link", "set", "lo", "up", netns=netns)
        # inherited as 1, Docker would leave FORWARD at ACCEPT, unlike on a VM
        inside(netns, "sysctl", "-qw", "net.ipv4.ip_forward=0")
        ip("link", "add", f"h{host}", "type", "veth", "peer", "name", "eth0", "address", f"02:98:00:00:00:{host:02x}",
           "netns", netns, netns=self.netns)  # fmt: skip
        ip("link", "set", f"h{host}", "master", self.bridge, "up", netns=self.netns)
        ip("addr", "add", f"{self.address(host)}/24", "dev", "eth0", netns=netns)
        ip("link", "set", "eth0", "up", netns=netns)
        ip("route", "add", "default", "via", self.gateway, netns=netns)

    def unplug(self, host: int) -> None:
        ip("link", "del", f"h{host}", netns=self.netns, check=False)
        ip("netns", "del", self.host_netns(host), check=False)

    def cut(self, host: int) -> None:
        """Drop everything silently: the carrier stays up, as when a switch elsewhere dies."""
        inside(self.netns, "bridge", "link", "set", "dev", f"h{host}", "state", "0")

    def heal(self, host: int) -> None:
        inside(self.netns, "bridge", "link", "set", "dev", f"h{host}", "state", "3")

    def carrier(self, host: int, up: bool) -> None:
        ip("link", "set", f"h{host}", "up" if up else "down", netns=self.netns)

    def host_netns(self, host: int) -> str:
        return f"{self.prefix}h{host}"

    def address(self, host: int) -> str:
        return f"{self.network}.{host}"
