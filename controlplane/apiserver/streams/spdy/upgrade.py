"""An HTTP connection that becomes a raw one for SPDY/3.1: the answer 101, then bytes both ways.

Owns the hand-over from aiohttp's HTTP parser. Back-pressure is TCP's: reading pauses while bytes wait here.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from aiohttp import web

from shared.client import wire

_BUFFER = 64 << 10
"""Bytes that wait here before reading is paused, about half of the most."""

LINGER = 5.0
"""Seconds for the client to hang up first: closing on what it still sends would lose what it has not read yet."""


class Upgraded:
    """A ``ByteTransport`` over the connection of ``response``, which the handler returns at the end."""

    def __init__(self, response: web.StreamResponse, reader: asyncio.StreamReader) -> None:
        self.response, self._reader = response, reader

    async def read(self) -> bytes:
        try:
            return await self._reader.read(_BUFFER)
        except OSError:
            return b""

    async def write(self, data: bytes) -> None:
        """Raises ConnectionError."""
        await self.response.write(data)


async def upgrade(request: web.Request, headers: dict[str, str]) -> Upgraded:
    """Answer 101 with ``headers``, and take the connection."""
    transport = request.transport
    if transport is None:
        raise ConnectionResetError("the client has gone")
    reader = asyncio.StreamReader(limit=_BUFFER)
    reader.set_transport(transport)
    response = web.StreamResponse(
        status=101, headers={"Connection": "Upgrade", "Upgrade": "SPDY/3.1"} | headers, reason="Switching Protocols"
    )
    response.force_close()
    # aiohttp hands an upgraded connection's bytes to a parser; its own is the one of WebSockets.
    request.protocol.set_parser(cast(Any, Feeder(reader)))
    await response.prepare(request)
    wire.probe_connection(transport.get_extra_info("socket"))
    return Upgraded(response, reader)


class Feeder:
    """What ``RequestHandler.data_received`` passes bytes to, in place of parsing requests."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self._reader.feed_data(data)
        return False, b""

    def feed_eof(self) -> None:
        self._reader.feed_eof()
