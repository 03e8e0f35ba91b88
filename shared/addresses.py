"""Which addresses this machine has towards others, as its routing table says. Sends nothing."""

from __future__ import annotations

import socket

_OUTWARD = ("192.0.2.1", 9)
"""Nobody's (RFC 5737): what takes the default route."""


def address_towards(host: str, port: int) -> str:
    """The local address that packets to ``host`` (an address) leave from; empty without a route.

    Connecting a UDP socket asks the routing table and sends nothing.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((host, port or 9))
            return str(probe.getsockname()[0])
    except OSError:
        return ""


def outward_address() -> str:
    """The IPv4 address that the default route uses; empty without one."""
    return address_towards(*_OUTWARD)
