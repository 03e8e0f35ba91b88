"""The client's end of exec and attach over a WebSocket: its messages as channels.

Owns the socket from the upgrade to its end; which command it is about is not its business. One reader, one writer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import WSMsgType, web

from controlplane.apiserver.streams.channels import WEBSOCKET, Channels, negotiate
from shared.api.meta import JSON
from shared.client import wire
from shared.remote_command import ERROR, STDOUT

MAX_MESSAGE = 4 << 20
"""Bytes of one message of a client: kubectl's have 32 KiB, other clients send what they are given."""

Listener = Callable[[int, bytes], Awaitable[None]]
"""Takes what comes on a channel."""


class WebSocketClient:
    """An upgraded connection of a client."""

    def __init__(self, socket: web.WebSocketResponse, channels: Channels) -> None:
        self.response, self._socket, self._channels = socket, socket, channels

    async def listen(self, listener: Listener) -> None:
        """Pass on what the client sends until it is gone."""
        while True:
            message = await self._socket.receive()
            if message.type not in (WSMsgType.BINARY, WSMsgType.TEXT):
                return
            if (found := self._channels.decode(message.data)) is not None:
                await listener(*found)

    async def send(self, channel: int, data: bytes) -> None:
        """Waits while buffers are full. Raises ConnectionError."""
        try:
            message = self._channels.encode(channel, data)
            if isinstance(message, str):
                await self._socket.send_str(message)
            else:
                await self._socket.send_bytes(message)
        except RuntimeError as error:
            raise ConnectionResetError("the client has closed the connection") from error

    async def ping(self) -> None:
        """Find out whether the client is there even while nothing of it is read. Raises ConnectionError."""
        try:
            await self._socket.ping()
        except RuntimeError as error:
            raise ConnectionResetError("the client has closed the connection") from error

    async def finish(self, status: JSON) -> None:
        """Say how it ended. Raises ConnectionError."""
        if data := self._channels.status(status):
            await self.send(ERROR, data)

    async def close(self) -> None:
        """Idempotent; waits for the client to agree, for a while."""
        await self._socket.close()


async def accept(request: web.Request) -> WebSocketClient:
    """Upgrade. Raises BadRequest for sub-protocols that are not known."""
    name = negotiate(request.headers.getall("Sec-WebSocket-Protocol", []), list(WEBSOCKET), "WebSocket sub-protocols")
    channels = WEBSOCKET.get(name, Channels(1))
    socket = web.WebSocketResponse(
        protocols=(name,) if name else (), max_msg_size=MAX_MESSAGE, compress=False, timeout=5.0
    )
    await socket.prepare(request)
    wire.probe_connection(socket.get_extra_info("socket"))
    client = WebSocketClient(socket, channels)
    await client.send(STDOUT, b"")  # tells old clients that the connection stands, as wsstream does
    return client
