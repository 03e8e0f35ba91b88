"""One generation of an HTTP client's connections, which can be retired as a whole without breaking requests.

Lives on one event loop.
"""

from __future__ import annotations

import asyncio

import aiohttp

_GOODBYE = 0.25
"""Seconds that the far end of a WebSocket has to answer its close; over a dead link nothing ever comes."""


class ConnectionPool:
    """One generation of connections. A retired one is closed when its last request has ended."""

    def __init__(self) -> None:
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=10, force_close=False),
            trust_env=False,
            auto_decompress=True,
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        self.users = 0
        self.lasting: set[aiohttp.ClientResponse | aiohttp.ClientWebSocketResponse] = set()
        self._retired = False

    async def release(self) -> None:
        self.users -= 1
        if self._retired and not self.users:
            await self.session.close()

    async def retire(self) -> None:
        self._retired = True
        lasting = list(self.lasting)
        for each in lasting:
            if isinstance(each, aiohttp.ClientResponse):
                each.close()
        await asyncio.gather(*(_end(each) for each in lasting if isinstance(each, aiohttp.ClientWebSocketResponse)))
        if not self.users:
            await self.session.close()


async def _end(socket: aiohttp.ClientWebSocketResponse) -> None:
    try:
        async with asyncio.timeout(_GOODBYE):
            await socket.close()
    except TimeoutError:
        return  # the peer did not answer; its connection is closed all the same
