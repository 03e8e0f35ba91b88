"""Streams of a SPDY connection, over bytes in memory."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from controlplane.apiserver.streams.spdy import frames
from controlplane.apiserver.streams.spdy.connection import READ_AHEAD, STREAMS_AT_ONCE, SpdyConnection
from controlplane.apiserver.streams.spdy.errors import ProtocolError


class Peer:
    """The other end: what it sends the connection reads, and the frames that came back."""

    def __init__(self):
        self._to, self._reader, self._writer = asyncio.Queue(), frames.FrameReader(), frames.FrameWriter()
        self.got, self.news = [], asyncio.Event()

    def send(self, *sent):
        self._to.put_nowait(b"".join(self._writer.write(frame) for frame in sent))

    def end(self):
        self._to.put_nowait(b"")

    async def read(self):
        return await self._to.get()

    async def write(self, data):
        self.got += self._reader.feed(data)
        self.news.set()

    async def until(self, frame):
        async with asyncio.timeout(5):
            while frame not in self.got:
                self.news.clear()
                await self.news.wait()


@asynccontextmanager
async def connected():
    peer = Peer()
    connection = SpdyConnection(peer)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(connection.run())
        yield peer, connection
        peer.end()
        await running


async def test_a_stream_is_answered_read_and_written():
    async with connected() as (peer, connection):
        peer.send(frames.SynStream(1, {"streamtype": ("data",)}), frames.Data(1, b"abc", fin=True))
        stream = await connection.accept()
        assert stream.headers == {"streamtype": ("data",)}
        assert await stream.read() == b"abc"
        assert await stream.read() == b""
        await stream.write(b"x" * (frames.MAX_DATA + 1))
        await stream.close()
    kinds = [type(frame).__name__ for frame in peer.got]
    assert kinds == ["SynReply", "Data", "Data", "Data"]
    assert peer.got[-1] == frames.Data(1, b"", fin=True)


async def test_pings_are_answered():
    async with connected() as (peer, _):
        peer.send(frames.Ping(2), frames.Ping(7))
        await peer.until(frames.Ping(7))
    assert peer.got == [frames.Ping(7)]


async def test_a_stream_that_is_not_read_holds_the_connection_back():
    async with connected() as (peer, connection):
        peer.send(frames.SynStream(1, {}))
        stream = await connection.accept()
        peer.send(*[frames.Data(1, b"x" * 60_000)] * 10)
        peer.send(frames.Ping(1))
        for _ in range(50):
            await asyncio.sleep(0)
        assert frames.Ping(1) not in peer.got
        first = await stream.read()
        assert len(first) <= READ_AHEAD + 60_000
        total = len(first)
        while total < 600_000:
            total += len(await stream.read())
        await peer.until(frames.Ping(1))


async def test_a_stream_that_nobody_reads_holds_nobody_back():
    async with connected() as (peer, connection):
        peer.send(frames.SynStream(1, {}))
        (await connection.accept()).drop()
        peer.send(*[frames.Data(1, b"x" * 60_000)] * 10, frames.Ping(1))
        await peer.until(frames.Ping(1))


async def test_a_stream_can_be_broken_off_by_either_end():
    async with connected() as (peer, connection):
        peer.send(frames.SynStream(1, {}), frames.SynStream(3, {}), frames.RstStream(1, frames.CANCEL))
        theirs, ours = await connection.accept(), await connection.accept()
        assert await theirs.read() == b""
        assert theirs.reset
        with pytest.raises(ConnectionError):
            await theirs.write(b"x")
        await ours.cancel()
        peer.send(frames.Data(3, b"late"), frames.Ping(1))
        await peer.until(frames.Ping(1))
    assert frames.RstStream(3, frames.CANCEL) in peer.got


async def test_the_end_of_the_connection_ends_its_streams():
    async with connected() as (peer, connection):
        peer.send(frames.SynStream(1, {}))
        stream = await connection.accept()
        peer.end()
        assert await stream.read() == b""
        assert stream.reset
        assert await connection.accept() is None
        assert await connection.accept() is None


async def test_too_many_streams_are_refused():
    async with connected() as (peer, _):
        peer.send(*[frames.SynStream(2 * number + 1, {}) for number in range(STREAMS_AT_ONCE + 1)])
        await peer.until(frames.RstStream(2 * STREAMS_AT_ONCE + 1, frames.REFUSED_STREAM))


@pytest.mark.parametrize("id", [1, 2], ids=["again", "even"])
async def test_streams_of_bad_ids_end_the_connection(id):
    peer = Peer()
    connection = SpdyConnection(peer)
    peer.send(frames.SynStream(1, {}), frames.SynStream(id, {}))
    with pytest.raises(ProtocolError):
        await connection.run()
    assert peer.got[-1] == frames.GoAway(1, frames.PROTOCOL_ERROR)
