"""The channels of a WebSocket, in each of the sub-protocols that Kubernetes has had for them. Pure.

Source: k8s.io/apimachinery/pkg/util/remotecommand, k8s.io/apiserver/pkg/util/wsstream, KEP-4006.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass

from shared import codec
from shared.api.errors import BadRequest
from shared.api.meta import JSON
from shared.remote_command import CLOSE


@dataclass(frozen=True, slots=True)
class Channels:
    """How messages of one sub-protocol look: a byte that names the channel, then what it carries."""

    version: int
    base64: bool = False
    """Text messages: the channel as a digit, what it carries in Base64."""

    def encode(self, channel: int, data: bytes) -> bytes | str:
        if self.base64:
            return f"{channel}{base64.b64encode(data).decode()}"
        return bytes((channel,)) + data

    def decode(self, message: bytes | str) -> tuple[int, bytes] | None:
        """None for what is no message of a channel, which is left alone."""
        data = message.encode(errors="surrogateescape") if isinstance(message, str) else message
        if not data:
            return None
        if not self.base64:
            closes = data[0] == CLOSE and self.version < 5
            return None if closes else (data[0], data[1:])
        try:
            return data[0] - ord("0"), base64.b64decode(data[1:], validate=True)
        except binascii.Error:
            return None

    def status(self, status: JSON) -> bytes:
        """What the error channel says at the end: a Status since version 4, before that a text, and nothing of
        success."""
        return encode_status(self.version, status)


def encode_status(version: int, status: JSON) -> bytes:
    """See ``Channels.status``."""
    if version >= 4:
        return codec.encode(status)
    return b"" if status.get("status") == "Success" else str(status.get("message", "")).encode()


WEBSOCKET: dict[str, Channels] = {
    "v5.channel.k8s.io": Channels(5),
    "v4.channel.k8s.io": Channels(4),
    "v4.base64.channel.k8s.io": Channels(4, base64=True),
    "channel.k8s.io": Channels(1),
    "base64.channel.k8s.io": Channels(1, base64=True),
}
"""By sub-protocol. A client that names none speaks the first version."""

SPDY: dict[str, int] = {
    "v4.channel.k8s.io": 4,
    "v3.channel.k8s.io": 3,
    "v2.channel.k8s.io": 2,
    "channel.k8s.io": 1,
}
"""Versions by X-Stream-Protocol-Version: 2 ends stdin, 3 has the terminal's size, 4 exit codes."""


def negotiate(asked: Sequence[str], known: Sequence[str], what: str) -> str:
    """The first protocol of the client's that is known here; "" where it names none. Raises BadRequest."""
    wanted = [name.strip() for value in asked for name in value.split(",") if name.strip()]
    for name in wanted:
        if name in known:
            return name
    if wanted:
        raise BadRequest(f"unable to upgrade: none of the {what} {wanted} is known; use one of {list(known)}")
    return ""
