"""The client's end of exec and attach over SPDY/3.1: a stream for each channel, as kubectl opens them.

Owns the connection from the upgrade to its end. Source: pkg/kubelet/server/remotecommand/httpstream.go. Lives on the
event loop; ``run`` is a task of the owner's.
"""

from __future__ import annotations

import asyncio
import json

from aiohttp import web

from controlplane.apiserver.streams.channels import SPDY, encode_status, negotiate
from controlplane.apiserver.streams.command_options import CommandQuery
from controlplane.apiserver.streams.spdy import frames
from controlplane.apiserver.streams.spdy.connection import SpdyConnection, SpdyStream
from controlplane.apiserver.streams.spdy.errors import ProtocolError
from controlplane.apiserver.streams.spdy.upgrade import LINGER, Upgraded, upgrade
from controlplane.apiserver.streams.websocket_client import Listener
from shared.api.errors import BadRequest
from shared.api.meta import JSON
from shared.remote_command import CLOSE, ERROR, RESIZE, STDERR, STDIN, STDOUT
from shared.work.supervisor import Supervisor

VERSION_HEADER = "X-Stream-Protocol-Version"

CREATION_TIMEOUT = 30.0
"""Seconds in which the client opens its streams (the kubelet's DefaultStreamCreationTimeout)."""

_CHANNELS = {"stdin": STDIN, "stdout": STDOUT, "stderr": STDERR, "error": ERROR, "resize": RESIZE}
_MAX_SIZE_TEXT = 4096


class SpdyClient:
    """An upgraded connection of a client. ``version`` is that of the channel protocol."""

    def __init__(self, transport: Upgraded, version: int, query: CommandQuery) -> None:
        self.response = transport.response
        self._connection = SpdyConnection(transport)
        self._version, self._query = version, query
        self._streams: dict[int, SpdyStream] = {}
        self._pings = 0

    async def run(self) -> None:
        """Read the connection to its end."""
        try:
            await self._connection.run()
        except (ProtocolError, ConnectionError):
            return  # its streams have ended, which their readers see

    async def open(self) -> None:
        """Wait for the streams that the query stands for. Raises ConnectionError when they do not come."""
        query = self._query
        wanted = {ERROR} | {
            channel
            for channel, asked in (
                (STDIN, query.stdin),
                (STDOUT, query.stdout),
                (STDERR, query.stderr),
                (RESIZE, query.tty and self._version >= 3),
            )
            if asked
        }
        try:
            async with asyncio.timeout(CREATION_TIMEOUT):
                while wanted - self._streams.keys():
                    stream = await self._connection.accept()
                    if stream is None:
                        raise ConnectionResetError("the client has gone")
                    channel = _CHANNELS.get(next(iter(stream.headers.get("streamtype", ())), ""))
                    if channel not in wanted or channel in self._streams:
                        await stream.cancel()
                        continue
                    self._streams[channel] = stream
        except TimeoutError as error:
            raise ConnectionResetError("the client has not opened its streams in time") from error

    async def listen(self, listener: Listener) -> None:
        """Pass on what the client sends until it is gone."""
        async with Supervisor() as supervisor:
            if (stdin := self._streams.get(STDIN)) is not None:
                supervisor.service("spdy-stdin", _pass_on(stdin, listener))
            if (resize := self._streams.get(RESIZE)) is not None:
                supervisor.service("spdy-resize", _sizes(resize, listener))
            while (stream := await self._connection.accept()) is not None:
                await stream.cancel()  # one more than there are channels
            supervisor.stop()

    async def send(self, channel: int, data: bytes) -> None:
        """Raises ConnectionError. What was not asked for, or is not wanted any more, is thrown away."""
        stream = self._streams.get(channel)
        if stream is not None and not stream.reset:
            await stream.write(data)

    async def ping(self) -> None:
        """Raises ConnectionError."""
        self._pings += 2
        await self._connection.send(frames.Ping(self._pings))

    async def finish(self, status: JSON) -> None:
        """Say how it ended. Raises ConnectionError."""
        await self.send(ERROR, encode_status(self._version, status))

    async def close(self) -> None:
        """End every stream, and wait for the client to hang up, for a while."""
        try:
            for stream in self._streams.values():
                stream.drop()
                await stream.close()
            await self._connection.go_away()
            async with asyncio.timeout(LINGER):
                while (late := await self._connection.accept()) is not None:
                    late.drop()
        except (ConnectionError, TimeoutError):
            return


def check_protocol(request: web.Request) -> str:
    """The channel protocol that both know. Raises BadRequest."""
    name = negotiate(request.headers.getall(VERSION_HEADER, []), list(SPDY), "stream protocols")
    if not name:
        raise BadRequest(f"unable to upgrade: {VERSION_HEADER} is required; use one of {list(SPDY)}")
    return name


async def accept(request: web.Request, protocol: str, query: CommandQuery) -> SpdyClient:
    """Upgrade."""
    return SpdyClient(await upgrade(request, {VERSION_HEADER: protocol}), SPDY[protocol], query)


async def _pass_on(stream: SpdyStream, listener: Listener) -> None:
    while data := await stream.read():
        await listener(STDIN, data)
    if not stream.reset:
        await listener(CLOSE, bytes((STDIN,)))


async def _sizes(stream: SpdyStream, listener: Listener) -> None:
    """The terminal's sizes: JSON objects one after another, however they are cut."""
    decoder, text = json.JSONDecoder(), ""
    while data := await stream.read():
        text = (text + data.decode(errors="replace")).lstrip()
        while text:
            try:
                _, end = decoder.raw_decode(text)
            except ValueError:
                break
            await listener(RESIZE, text[:end].encode())
            text = text[end:].lstrip()
        if len(text) > _MAX_SIZE_TEXT:
            return
