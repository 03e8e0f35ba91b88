"""What goes over the tunnel between server and agent: paths, frames, limits. Pure data, no I/O.

The agent keeps one control WebSocket open (``tunnel_path``). To open a stream the server sends an ``Open`` on it;
the agent dials back one WebSocket for that stream (``stream_path``), or answers ``Refuse``. On a stream, binary
messages are its bytes; a text message is its last: ``End``, with the Status of a failure or without. A stream that
closes without one was cut off. Back-pressure is TCP's: neither side reads ahead more than its socket buffers.

Control frames are JSON objects with a ``type``. A frame of an unknown type is ignored, an ``Open`` of an unknown
kind is refused, so either side may be the newer one.
"""

from __future__ import annotations

from typing import Any

import msgspec

from shared.api.meta import JSON
from shared.usage import NodeUsage

TUNNEL_PROTOCOL = "v1.tunnel.longboat.dev"
STREAM_PROTOCOL = "v1.stream.longboat.dev"

CHUNK = 64 * 1024
"""The most bytes in one message of a stream."""

MAX_FRAME = 256 * 1024
"""The most bytes of a control frame."""

PING = 10.0
"""Seconds between pings; half as long without a pong ends the connection."""

STREAMS_AT_ONCE = 100
"""Streams of one node at a time; more are refused with TooManyRequests."""

LOG = "log"
"""The stream kind of container logs; its parameters are ``LogParameters``."""

METRICS = "metrics"
"""The stream kind of the agent's own metrics, in Prometheus' text format; it has no parameters."""


class Open(msgspec.Struct, frozen=True, tag="open"):
    """Server to agent: dial back stream ``stream`` and serve ``kind`` on it."""

    stream: str
    kind: str
    parameters: dict[str, Any]


class Refuse(msgspec.Struct, frozen=True, tag="refuse"):
    """Agent to server: no such stream, because ``status`` (a Status object)."""

    stream: str
    status: JSON


class Cancel(msgspec.Struct, frozen=True, tag="cancel"):
    """Server to agent: nobody wants stream ``stream`` any more. Its own connection cannot tell an agent that is held
    back by back-pressure and does not read."""

    stream: str


class Usage(msgspec.Struct, frozen=True, tag="usage"):
    """Agent to server: what its node uses."""

    usage: NodeUsage


class End(msgspec.Struct, frozen=True, tag="end", omit_defaults=True):
    """Agent to server, on a stream: it is over. ``status`` is the Status of what went wrong, if anything did."""

    status: JSON | None = None


class LogParameters(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """Which log, and how much of it: a pod's container and PodLogOptions. ``since_time`` is RFC 3339."""

    namespace: str
    name: str
    uid: str
    container: str
    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    tail_lines: int | None = None
    since_seconds: int | None = None
    since_time: str | None = None
    limit_bytes: int | None = None


Frame = Open | Refuse | Cancel | Usage | End
_decoder: msgspec.json.Decoder[Frame] = msgspec.json.Decoder(Frame)
_encoder = msgspec.json.Encoder()


def encode_frame(frame: Frame) -> str:
    return _encoder.encode(frame).decode()


def decode_frame(text: str | bytes) -> Frame | None:
    """The frame, or None for one that this side does not know."""
    try:
        return _decoder.decode(text)
    except msgspec.MsgspecError:
        return None


def tunnel_path(node: str) -> str:
    """Where an agent keeps its control WebSocket open."""
    return f"/apis/longboat.dev/v1/nodes/{node}/tunnel"


def stream_path(node: str, stream: str) -> str:
    """Where an agent dials back a stream."""
    return f"/apis/longboat.dev/v1/nodes/{node}/streams/{stream}"
