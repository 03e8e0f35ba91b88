"""The server's end of a connection that an agent opened for it: bytes both ways, with TCP's half-close.

Owns the reading of ``shared.dial``'s messages. Nothing is read ahead. One reader and one writer.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from controlplane.apiserver.streams.hub import AgentStream, StreamBroken, TunnelHub
from shared.api.errors import ServiceUnavailable, Timeout
from shared.dial import CONNECT_SECONDS, CONNECTED, DIAL, END, Dial
from shared.streams import CHUNK

_MARGIN = 5.0
"""Seconds that the agent's answer may take beyond its own attempts."""


class Dialled:
    """A connection, open for as long as the block of ``dial`` is."""

    def __init__(self, stream: AgentStream) -> None:
        self._stream, self._messages = stream, aiter(stream)

    async def connected(self) -> None:
        """Wait until the agent has its connection. Raises the StatusError that the agent tells, StreamBroken."""
        if await anext(self._messages, None) != CONNECTED:
            raise StreamBroken("the agent did not say whether it is connected")

    async def read(self) -> bytes:
        """The next bytes; empty when no more come. Raises the StatusError that the connection ended with, and
        StreamBroken when it was cut off."""
        return await anext(self._messages, END)

    async def write(self, data: bytes | memoryview) -> None:
        """Waits while buffers are full. Raises StreamBroken."""
        for start in range(0, len(data), CHUNK):
            await self._stream.send(bytes(data[start : start + CHUNK]))

    async def write_eof(self) -> None:
        """Nothing more is written. Raises StreamBroken."""
        await self._stream.send(END)


@asynccontextmanager
async def dial(hub: TunnelHub, node: str, target: Dial) -> AsyncIterator[Dialled]:
    """A connection to a pod of ``node``, for the length of the block. Raises what ``TunnelHub.stream`` raises, and
    ServiceUnavailable, Timeout when the pod cannot be reached."""
    async with hub.stream(node, DIAL, msgspec.to_builtins(target)) as stream:
        dialled = Dialled(stream)
        try:
            # two attempts where localhost is both of IPv4 and IPv6
            async with asyncio.timeout(2 * CONNECT_SECONDS + _MARGIN):
                await dialled.connected()
        except TimeoutError as error:
            raise Timeout(f'the agent of node "{node}" did not connect in time') from error
        except StreamBroken as error:
            raise ServiceUnavailable(str(error)) from error
        yield dialled
