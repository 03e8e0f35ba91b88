"""Frames of SPDY/3.1 as data, to bytes and back. No I/O; one ``FrameReader`` and one ``FrameWriter`` a connection.

Source: "SPDY Protocol - Draft 3.1", 2.2 and 2.6. Windows are parsed and not kept: moby/spdystream, which Kubernetes
has on both ends, neither sends WINDOW_UPDATE nor heeds it, so whoever did would stall after 64 KiB. Back-pressure is
that of the connection below.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from controlplane.apiserver.streams.spdy.errors import ProtocolError
from controlplane.apiserver.streams.spdy.headers import HeaderCodec, Headers

VERSION = 3
MAX_CONTROL = 64 << 10
"""Bytes of a control frame that are taken."""

MAX_DATA = 64 << 10
"""Bytes in one data frame that we send."""

_SYN_STREAM, _SYN_REPLY, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _HEADERS, _WINDOW_UPDATE = 1, 2, 3, 4, 6, 7, 8, 9
_FIN = 0x01
_ID = 0x7FFFFFFF

PROTOCOL_ERROR, INVALID_STREAM, REFUSED_STREAM, CANCEL, STREAM_ALREADY_CLOSED = 1, 2, 3, 5, 9
"""Statuses of RST_STREAM."""


@dataclass(frozen=True, slots=True)
class Data:
    """Bytes of a stream; a long frame of the peer's comes as several, of which the last has its ``fin``."""

    stream: int
    data: bytes
    fin: bool = False


@dataclass(frozen=True, slots=True)
class SynStream:
    stream: int
    headers: Headers
    fin: bool = False


@dataclass(frozen=True, slots=True)
class SynReply:
    stream: int
    headers: Headers
    fin: bool = False


@dataclass(frozen=True, slots=True)
class MoreHeaders:
    """A HEADERS frame."""

    stream: int
    headers: Headers
    fin: bool = False


@dataclass(frozen=True, slots=True)
class RstStream:
    stream: int
    status: int


@dataclass(frozen=True, slots=True)
class Settings:
    """Values by id."""

    values: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Ping:
    id: int


@dataclass(frozen=True, slots=True)
class GoAway:
    last_stream: int
    status: int = 0


@dataclass(frozen=True, slots=True)
class WindowUpdate:
    stream: int
    delta: int


Frame = Data | SynStream | SynReply | MoreHeaders | RstStream | Settings | Ping | GoAway | WindowUpdate


class FrameWriter:
    """Frames to bytes, in the order in which they are sent."""

    def __init__(self) -> None:
        self._headers = HeaderCodec()

    def write(self, frame: Frame) -> bytes:
        """The bytes of a frame."""
        match frame:
            case Data(stream, data, fin):
                return struct.pack(">II", stream & _ID, (_FIN if fin else 0) << 24 | len(data)) + data
            case SynStream(stream, headers, fin):
                return _control(_SYN_STREAM, struct.pack(">IIH", stream, 0, 0) + self._headers.encode(headers), fin)
            case SynReply(stream, headers, fin):
                return _control(_SYN_REPLY, struct.pack(">I", stream) + self._headers.encode(headers), fin)
            case MoreHeaders(stream, headers, fin):
                return _control(_HEADERS, struct.pack(">I", stream) + self._headers.encode(headers), fin)
            case RstStream(stream, status):
                return _control(_RST_STREAM, struct.pack(">II", stream, status))
            case Settings(values):
                body = b"".join(struct.pack(">II", id & 0xFFFFFF, value) for id, value in values)
                return _control(_SETTINGS, struct.pack(">I", len(values)) + body)
            case Ping(id):
                return _control(_PING, struct.pack(">I", id))
            case GoAway(last_stream, status):
                return _control(_GOAWAY, struct.pack(">II", last_stream, status))
            case WindowUpdate(stream, delta):
                return _control(_WINDOW_UPDATE, struct.pack(">II", stream, delta))


def _control(type: int, body: bytes, fin: bool = False) -> bytes:
    head = struct.pack(">HHI", 0x8000 | VERSION, type, (_FIN if fin else 0) << 24 | len(body))
    return head + body


class FrameReader:
    """Bytes to frames, cut anywhere. Data is given on as it comes: a frame of 16 MiB is not gathered."""

    def __init__(self) -> None:
        self._headers = HeaderCodec()
        self._waiting = bytearray()
        self._stream = self._left = 0
        self._fin = False

    def feed(self, chunk: bytes) -> Iterator[Frame]:
        """The frames that ``chunk`` completes. Raises ProtocolError."""
        self._waiting += chunk
        while True:
            if self._left:
                if not self._waiting:
                    return
                data = bytes(self._waiting[: self._left])
                del self._waiting[: self._left]
                self._left -= len(data)
                yield Data(self._stream, data, self._fin and not self._left)
                continue
            if len(self._waiting) < 8:
                return
            first, second = struct.unpack_from(">II", self._waiting)
            flags, length = second >> 24, second & 0xFFFFFF
            if not first >> 31:
                del self._waiting[:8]
                self._stream, self._left, self._fin = first & _ID, length, bool(flags & _FIN)
                if not length:
                    yield Data(self._stream, b"", self._fin)
                continue
            if length > MAX_CONTROL:
                raise ProtocolError(f"a control frame of {length} bytes is too long")
            if len(self._waiting) < 8 + length:
                return
            body = bytes(self._waiting[8 : 8 + length])
            del self._waiting[: 8 + length]
            if (first >> 16) & 0x7FFF != VERSION:
                raise ProtocolError(f"a control frame of version {(first >> 16) & 0x7FFF}, not 3")
            frame = self._frame(first & 0xFFFF, bool(flags & _FIN), body)
            if frame is not None:
                yield frame

    def _frame(self, type: int, fin: bool, body: bytes) -> Frame | None:
        """None of a type that is not known, which the protocol tells to ignore."""
        try:
            match type:
                case 1:
                    stream, _, _ = struct.unpack_from(">IIH", body)
                    return SynStream(stream & _ID, self._headers.decode(body[10:]), fin)
                case 2:
                    (stream,) = struct.unpack_from(">I", body)
                    return SynReply(stream & _ID, self._headers.decode(body[4:]), fin)
                case 8:
                    (stream,) = struct.unpack_from(">I", body)
                    return MoreHeaders(stream & _ID, self._headers.decode(body[4:]), fin)
                case 3:
                    stream, status = struct.unpack(">II", body)
                    return RstStream(stream & _ID, status)
                case 4:
                    (count,) = struct.unpack_from(">I", body)
                    values = [struct.unpack_from(">II", body, 4 + 8 * index) for index in range(count)]
                    return Settings(tuple((id & 0xFFFFFF, value) for id, value in values))
                case 6:
                    return Ping(*struct.unpack(">I", body))
                case 7:
                    last, status = struct.unpack(">II", body)
                    return GoAway(last & _ID, status)
                case 9:
                    stream, delta = struct.unpack(">II", body)
                    return WindowUpdate(stream & _ID, delta & _ID)
                case _:
                    return None
        except struct.error as error:
            raise ProtocolError(f"a control frame of type {type} is too short or too long") from error
