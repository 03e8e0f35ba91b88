"""Our nftables table as text, and its host ports read back. Pure.

One table, ``ip longboat``, holds all: nft applies a batch wholly or not at all, and what is in another table is
never touched. Host ports are elements of two maps (with and without a host address), so that publishing a port is
one element, whatever their number. Written for nft 1.0.6 (Debian 12) and later.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any

PROTOCOLS = ("tcp", "udp")
ANY_ADDRESS = "0.0.0.0"  # noqa: S104 (nothing is bound)


@dataclass(frozen=True, slots=True, order=True)
class HostPort:
    """What is reached from outside. ``host_ip`` is ``0.0.0.0`` for every address of the host."""

    host_ip: str
    protocol: str
    port: int


@dataclass(frozen=True, slots=True, order=True)
class Target:
    """Where it leads."""

    address: str
    port: int


HostPorts = Mapping[HostPort, Target]


def base_rules(table: str, bridge: str, pods: IPv4Network) -> str:
    """A batch that makes the table and sets its rules anew; the host ports in its maps stay.

    - Pods reach the world as their host (masquerade), except on the bridge.
    - Host ports of addresses of this host lead to pods: from outside (prerouting), from the host (output). The
      answer finds its way back by itself, except to a pod that asked (hairpin) and to 127.0.0.1, hence masquerade.
    - route_localnet, which lets 127.0.0.1:PORT lead to a pod, would let pods reach what listens on the host's
      loopback only (CVE-2020-8558): such packets from the bridge are dropped.
    """
    return f"""
add table ip {table}
add map ip {table} hostports {{ type inet_proto . inet_service : ipv4_addr . inet_service ; }}
add map ip {table} hostports_at {{ type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service ; }}
add chain ip {table} publish
add chain ip {table} prerouting {{ type nat hook prerouting priority -100 ; policy accept ; }}
add chain ip {table} output {{ type nat hook output priority -100 ; policy accept ; }}
add chain ip {table} postrouting {{ type nat hook postrouting priority 100 ; policy accept ; }}
add chain ip {table} guard {{ type filter hook prerouting priority -300 ; policy accept ; }}
flush chain ip {table} publish
flush chain ip {table} prerouting
flush chain ip {table} output
flush chain ip {table} postrouting
flush chain ip {table} guard
add rule ip {table} guard iifname "{bridge}" ip daddr 127.0.0.0/8 drop
add rule ip {table} publish meta l4proto {{ tcp, udp }} dnat ip addr . port to \
ip daddr . meta l4proto . th dport map @hostports_at
add rule ip {table} publish meta l4proto {{ tcp, udp }} dnat ip addr . port to \
meta l4proto . th dport map @hostports
add rule ip {table} prerouting fib daddr type local jump publish
add rule ip {table} output fib daddr type local jump publish
add rule ip {table} postrouting ip saddr {pods} oifname != "{bridge}" masquerade
add rule ip {table} postrouting ip saddr {pods} oifname "{bridge}" ct status dnat masquerade
add rule ip {table} postrouting ip saddr 127.0.0.0/8 oifname "{bridge}" masquerade
""".lstrip()


def change_ports(table: str, actual: HostPorts, desired: HostPorts) -> str:
    """A batch that turns the maps' elements from ``actual`` into ``desired``; empty when they are the same."""
    removed = [(port, target) for port, target in actual.items() if desired.get(port) != target]
    added = [(port, target) for port, target in desired.items() if actual.get(port) != target]
    return "".join(
        [_element("delete", table, port, target) for port, target in sorted(removed)]
        + [_element("add", table, port, target) for port, target in sorted(added)]
    )


def remove_table(table: str) -> str:
    """A batch that removes the table, and does no harm when there is none."""
    return f"add table ip {table}\ndelete table ip {table}\n"


def _element(verb: str, table: str, port: HostPort, target: Target) -> str:
    key = f"{port.protocol} . {port.port}"
    name = "hostports"
    if port.host_ip != ANY_ADDRESS:
        key, name = f"{port.host_ip} . {key}", "hostports_at"
    value = f" : {target.address} . {target.port}" if verb == "add" else ""
    return f"{verb} element ip {table} {name} {{ {key}{value} }}\n"


def read_ports(listing: Mapping[str, Any]) -> dict[HostPort, Target]:
    """The host ports out of ``nft -j list table``; elements that are not ours are left out."""
    ports: dict[HostPort, Target] = {}
    for item in listing.get("nftables", ()):
        found = item.get("map") or {}
        if found.get("name") in ("hostports", "hostports_at"):
            ports.update(_elements(found.get("elem") or ()))
    return ports


def _elements(elements: Iterable[Any]) -> Iterable[tuple[HostPort, Target]]:
    for key, value in elements:
        parts, target = _concatenated(key), _concatenated(value)
        if len(parts) == 2:
            parts = [ANY_ADDRESS, *parts]
        if len(parts) != 3 or len(target) != 2:
            continue
        yield HostPort(str(parts[0]), str(parts[1]), int(parts[2])), Target(str(target[0]), int(target[1]))


def _concatenated(value: Any) -> list[Any]:
    """Newer nft wraps an element with a comment or a counter in ``elem``."""
    if isinstance(value, dict) and "elem" in value:
        value = value["elem"].get("val")
    return list(value.get("concat", ())) if isinstance(value, dict) else []


def chosen_address(host_ip: str) -> str:
    """A port mapping's host address as it stands in our maps. Raises ValueError if it is no IPv4 address."""
    return str(IPv4Address(host_ip)) if host_ip else ANY_ADDRESS
