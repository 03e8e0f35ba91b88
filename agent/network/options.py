"""How the pod network is laid out on a host, as plain data; the agent fills it from its settings."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NetworkOptions:
    bridge: str = "longboat0"
    table: str = "longboat"
    """Of nftables, family ip."""
    mtu: int = 0
    """Of pods, in bytes; 0 takes that of the interface that has the default route."""
    command_timeout: float = 20.0
    """Seconds for one run of nft or iptables."""
