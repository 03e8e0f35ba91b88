"""SPDY/3.1 inside of a WebSocket's messages: how clients since Kubernetes 1.31 forward ports (KEP-4006).

Owns the socket as something that carries bytes; what the bytes are is SPDY's. Back-pressure is TCP's.
"""

from __future__ import annotations

from aiohttp import WSMsgType, web


class WebSocketBytes:
    """A ``ByteTransport`` over an upgraded WebSocket."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket

    async def read(self) -> bytes:
        while True:
            message = await self._socket.receive()
            if message.type is not WSMsgType.BINARY:
                return b""
            if message.data:
                data: bytes = message.data
                return data

    async def write(self, data: bytes) -> None:
        """Raises ConnectionError."""
        try:
            await self._socket.send_bytes(data)
        except RuntimeError as error:
            raise ConnectionResetError("the client has closed the connection") from error
