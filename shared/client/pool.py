"""One generation of an HTTP client's connections, which can be retired as a whole without breaking requests.

Owns the connections and the turns that requests take for them. Lives on one event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

AT_ONCE = 2
"""Requests under way at a time that take turns. A connection costs both ends some milliseconds for its handshake and
some 50 KB, and a server has those of a thousand agents; a request costs a millisecond or two."""

IDLE_SECONDS = 60.0
"""How long a connection without a request is kept for the next one; the server closes it after 75 seconds."""

_GOODBYE = 0.25
"""Seconds that the far end of a WebSocket has to answer its close; over a dead link nothing ever comes."""


class ConnectionPool:
    """One generation of connections. A retired one is closed when its last request has ended."""

    def __init__(self) -> None:
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=10, keepalive_timeout=IDLE_SECONDS),
            trust_env=False,
            auto_decompress=True,
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        self.users = 0
        self.lasting: set[aiohttp.ClientResponse | aiohttp.ClientWebSocketResponse] = set()
        self._retired = False
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[bool]:
        """Wait for a turn; whether the pool is still good, which one that was retired meanwhile is not."""
        self._waiting += 1
        try:
            await self._turns.acquire()
        finally:
            self._waiting -= 1
        try:
            yield not self._retired
        finally:
            self._turns.release()

    async def release(self) -> None:
        self.users -= 1
        if self._retired and not self.users:
            await self.session.close()

    async def retire(self) -> None:
        """Use it no more: watches and WebSockets end, requests under way finish, and nobody waits behind them."""
        self._retired = True
        for _ in range(self._waiting):
            self._turns.release()
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
