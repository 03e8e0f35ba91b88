"""The agent's end of one stream, as whoever serves it sees it: messages in, messages out, and the server's going.

Back-pressure is TCP's both ways. One reader and one writer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import aiohttp

from shared.work.supervisor import Supervisor


class Duplex:
    """A stream that was dialled back. ``cancelled`` is set when the server wants no more of it: the socket tells so
    only to who reads."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, cancelled: asyncio.Event) -> None:
        self._socket, self._cancelled = socket, cancelled

    async def receive(self) -> bytes | None:
        """The next message of the server; None when it has had enough, or is gone."""
        while True:
            try:
                message = await self._socket.receive()
            except (ConnectionError, RuntimeError):
                return None  # lost just as a ping was answered
            if message.type is aiohttp.WSMsgType.BINARY:
                data: bytes = message.data
                return data
            if message.type is not aiohttp.WSMsgType.TEXT:
                return None

    async def send(self, data: bytes) -> None:
        """Waits while buffers are full. Raises ConnectionError when the server is gone."""
        try:
            await self._socket.send_bytes(data)
        except RuntimeError as error:
            raise ConnectionResetError("the stream is closed") from error

    async def cancelled(self) -> None:
        """Until the server says that it wants no more."""
        await self._cancelled.wait()


Serve = Callable[[Duplex], Awaitable[None]]
"""Serves one stream to its end. May raise StatusErrors, RuntimeFailure, which the stream then ends with."""


async def while_there(duplex: Duplex, work: Coroutine[Any, Any, None]) -> None:
    """Do ``work`` until it ends, or the server goes; what that sends meanwhile is nothing to ``work``.

    Raises what ``work`` raises, and ConnectionError when the server was the first.
    """

    async def until_gone() -> None:
        while await duplex.receive() is not None:
            continue

    await first_of(duplex, work, until_gone())


async def first_of(duplex: Duplex, work: Coroutine[Any, Any, None], gone: Coroutine[Any, Any, None]) -> None:
    """Do ``work`` until it ends, or ``gone`` does, or the stream is cancelled. Raises what ``work`` raises, else
    ConnectionError when it was not the first."""
    failures: list[Exception] = []

    async def caught() -> None:
        try:
            await work
        except Exception as error:
            failures.append(error)

    async with Supervisor() as both:
        working = both.service("stream", caught())
        watching = both.service("stream-watch", gone)
        cancelled = both.service("stream-cancel", duplex.cancelled())
        await asyncio.wait((working, watching, cancelled), return_when=asyncio.FIRST_COMPLETED)
        ended = working.done()
        both.stop()
    if failures:
        raise failures[0]
    if not ended:
        raise ConnectionResetError("the server has closed the stream")
