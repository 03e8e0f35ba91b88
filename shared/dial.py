"""What goes over a stream of kind ``dial``: one TCP connection that the agent opens for the server. Pure data.

The agent's first message is ``CONNECTED``; when the connection cannot be made the stream ends with a Status instead.
From then on each message is bytes of the connection, both ways, and an empty one says that no more come from that
side (TCP's half-close). The stream ends when both sides have said so, or with the Status of what broke.
"""

from __future__ import annotations

import msgspec

DIAL = "dial"
"""The stream kind; its parameters are ``Dial``."""

CONNECTED = b"\x01"
"""The agent's first message."""

END = b""
"""No more bytes come from whoever sends this."""

CONNECT_SECONDS = 10.0
"""How long a connection may take to be made: a pod is on the agent's own host."""

STALL_SECONDS = 900.0
"""How long a pod may take nothing of what waits for it before its connection is given up."""


class Dial(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """Which pod of the node is meant, by uid, or by name where that is empty, and which TCP port of it."""

    namespace: str
    name: str
    uid: str
    port: int
    loopback: bool = False
    """The port of localhost as the pod's own processes see it (what port-forward means), not the one of its address."""
