"""Which address this machine has towards others."""

from __future__ import annotations

import socket


def own_address() -> str:
    """The IPv4 address that this machine's default route uses; loopback when it has none. Sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # a documentation address (RFC 5737)
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"
