"""The server's end of a SPDY/3.1 connection: streams that the peer opens, over anything that carries bytes.

Owns framing, the streams' states and what is read ahead for them; what streams are for is their taker's. A stream
whose bytes are not taken holds at most ``READ_AHEAD`` of them, then the whole connection waits, as its back-pressure is
that of the transport below (see ``frames``). Lives on one event loop; ``run`` is the only reader.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from controlplane.apiserver.streams.spdy import frames
from controlplane.apiserver.streams.spdy.errors import ProtocolError
from controlplane.apiserver.streams.spdy.frames import Frame
from controlplane.apiserver.streams.spdy.headers import Headers

READ_AHEAD = 256 << 10
"""Bytes of one stream that wait for their reader."""

STREAMS_AT_ONCE = 1000
"""Streams that a connection may have open; a further one is refused."""


class ByteTransport(Protocol):
    """What a connection runs over."""

    async def read(self) -> bytes:
        """Bytes that came; empty at the end. Does not raise."""
        ...

    async def write(self, data: bytes) -> None:
        """Send; waits while buffers are full. Raises ConnectionError."""
        ...


class SpdyStream:
    """One stream: ``headers`` are those it was opened with. One reader and one writer."""

    def __init__(self, connection: SpdyConnection, id: int, headers: Headers, ended: bool) -> None:
        self.id, self.headers = id, headers
        self._connection = connection
        self._waiting = bytearray()
        self._ended, self._dropped, self._closed = ended, False, False
        self._changed = asyncio.Event()
        self.reset = False
        """The peer broke it off."""

    async def read(self) -> bytes:
        """What came, at least one byte; empty once the peer has ended or broken it."""
        while not self._waiting:
            if self._ended:
                return b""
            self._changed.clear()
            await self._changed.wait()
        data = bytes(self._waiting)
        self._waiting.clear()
        self._changed.set()
        return data

    async def write(self, data: bytes) -> None:
        """Send. Raises ConnectionError when the stream or the connection has ended."""
        for start in range(0, len(data), frames.MAX_DATA):
            if self._closed:
                raise ConnectionResetError("the stream is closed")
            await self._connection.send(frames.Data(self.id, data[start : start + frames.MAX_DATA]))

    async def close(self) -> None:
        """No more is written. Idempotent. Raises ConnectionError."""
        if not self._closed:
            self._closed = True
            await self._connection.send(frames.Data(self.id, b"", fin=True))
            self._connection.forget_if_over(self)

    async def cancel(self) -> None:
        """Break it off in both directions. Raises ConnectionError."""
        over = self._closed and self._ended
        self.drop()
        self._closed = self._ended = True
        self._connection.forget_if_over(self)
        if not over:
            await self._connection.send(frames.RstStream(self.id, frames.CANCEL))

    def drop(self) -> None:
        """Nobody reads any more: what comes is thrown away."""
        self._dropped = True
        self._waiting.clear()
        self._changed.set()

    @property
    def is_over(self) -> bool:
        return self._closed and self._ended

    # --- for the connection

    async def feed(self, data: bytes) -> None:
        if self._dropped or self._ended:
            return
        self._waiting += data
        self._changed.set()
        while len(self._waiting) > READ_AHEAD and not self._dropped:
            self._changed.clear()
            await self._changed.wait()

    def end(self, reset: bool = False) -> None:
        self._ended = True
        if reset:
            self.reset = self._closed = True
        self._changed.set()


class SpdyConnection:
    """Runs over ``transport``. ``accept`` gives the peer's streams in the order in which they were opened."""

    def __init__(self, transport: ByteTransport) -> None:
        self._transport = transport
        self._reader, self._writer = frames.FrameReader(), frames.FrameWriter()
        self._sending = asyncio.Lock()
        self._streams: dict[int, SpdyStream] = {}
        self._new: asyncio.Queue[SpdyStream | None] = asyncio.Queue()
        self._last = 0

    async def run(self) -> None:
        """Read until the peer's end. Raises ProtocolError, ConnectionError; every stream has ended then."""
        try:
            while chunk := await self._transport.read():
                for frame in self._reader.feed(chunk):
                    await self._take(frame)
        except ProtocolError:
            await self.send(frames.GoAway(self._last, frames.PROTOCOL_ERROR))
            raise
        finally:
            for stream in self._streams.values():
                stream.end(reset=True)
            self._streams.clear()
            self._new.put_nowait(None)

    async def accept(self) -> SpdyStream | None:
        """The next stream that the peer opens; None when the connection has ended."""
        stream = await self._new.get()
        if stream is None:
            self._new.put_nowait(None)
        return stream

    async def go_away(self) -> None:
        """Say that the connection is about to be closed. Raises ConnectionError."""
        await self.send(frames.GoAway(self._last))

    async def send(self, frame: Frame) -> None:
        """Raises ConnectionError."""
        async with self._sending:  # header blocks must leave in the order in which they were deflated
            await self._transport.write(self._writer.write(frame))

    def forget_if_over(self, stream: SpdyStream) -> None:
        if stream.is_over:
            self._streams.pop(stream.id, None)

    async def _take(self, frame: Frame) -> None:
        match frame:
            case frames.Data(id, data, fin):
                stream = self._streams.get(id)
                if stream is None:
                    return  # it has just been closed or broken off here
                if data:
                    await stream.feed(data)
                if fin:
                    stream.end()
                    self.forget_if_over(stream)
            case frames.SynStream():
                await self._open(frame)
            case frames.RstStream(id):
                if (stream := self._streams.pop(id, None)) is not None:
                    stream.end(reset=True)
            case frames.Ping(id):
                if id % 2:  # the peer's own; an even one would be the answer to one of ours
                    await self.send(frame)
            case _:
                return

    async def _open(self, frame: frames.SynStream) -> None:
        if frame.stream <= self._last or frame.stream % 2 == 0:
            raise ProtocolError(f"a stream was opened as {frame.stream} after {self._last}")
        self._last = frame.stream
        if max(len(self._streams), self._new.qsize()) >= STREAMS_AT_ONCE:
            await self.send(frames.RstStream(frame.stream, frames.REFUSED_STREAM))
            return
        stream = SpdyStream(self, frame.stream, frame.headers, frame.fin)
        self._streams[frame.stream] = stream
        # Clients wait for the answer before they send, and before they open the next stream.
        await self.send(frames.SynReply(frame.stream, {}))
        self._new.put_nowait(stream)
