"""A connection to a backend as a socket: what an HTTP client can speak over.

Owns the socket and, where the way leads through an agent, the two tasks that join it with the stream. What waits on
the way is a socket's buffers: a slow side slows the other down.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import aiohttp
from aiohttp.client_proto import ResponseHandler

from controlplane.apiserver.streams.dialled import Dialled
from controlplane.apiserver.streams.hub import StreamBroken
from shared.api.errors import StatusError
from shared.streams import CHUNK
from shared.work.alongside import alongside

if TYPE_CHECKING:
    from aiohttp import ClientRequest, ClientTimeout
    from aiohttp.tracing import Trace

logger = logging.getLogger(__name__)

HANDSHAKE_SECONDS = 10.0
"""How long TLS may take (the transport of kube-apiserver's proxies)."""

_HEADER = 64 << 10


class Backend:
    """An open connection. ``tls`` is None for plain text; ``failure`` is what broke it off, if anything did."""

    def __init__(self, connection: socket.socket, tls: ssl.SSLContext | None = None, server_name: str = "") -> None:
        self.socket, self.tls, self.server_name = connection, tls, server_name
        self.failure = ""
        self._taken = False
        """The event loop has the socket, and closes it."""
        self._transport: asyncio.BaseTransport | None = None

    async def connect(self, make_protocol: Callable[[], ResponseHandler]) -> ResponseHandler:
        """Begin to speak over it, within TLS where that is wanted; once. Raises OSError, TimeoutError."""
        self._taken = True
        async with asyncio.timeout(HANDSHAKE_SECONDS):
            self._transport, protocol = await asyncio.get_running_loop().create_connection(
                make_protocol,
                sock=self.socket,
                ssl=self.tls,
                server_hostname=self.server_name if self.tls else None,
            )
        return protocol

    def close(self) -> None:
        """Let go of it, however far it is. Idempotent."""
        if isinstance(self._transport, asyncio.WriteTransport):
            try:
                self._transport.abort()
            except AttributeError:  # closed twice already, TLS of Python 3.11.2 has forgotten what it stands on
                self.abort()
        elif not self._taken:
            self.socket.close()

    def abort(self) -> None:
        """End it for whoever reads and writes it."""
        with suppress(OSError):  # not connected any more
            self.socket.shutdown(socket.SHUT_RDWR)

    def session(self) -> aiohttp.ClientSession:
        """A client of this one connection, for one request. To be closed."""
        return aiohttp.ClientSession(
            connector=_Connector(self),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=HANDSHAKE_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            auto_decompress=False,
            trust_env=False,
            read_bufsize=CHUNK,
            max_line_size=_HEADER,
            max_field_size=_HEADER,
        )


class _Connector(aiohttp.BaseConnector):
    """As aiohttp's UnixConnector, for a socket that is connected already."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(force_close=True)
        self._backend = backend

    async def _create_connection(
        self, req: ClientRequest, traces: list[Trace], timeout: ClientTimeout
    ) -> ResponseHandler:
        return await self._backend.connect(self._factory)


@asynccontextmanager
async def over_stream(dialled: Dialled, tls: ssl.SSLContext | None, server_name: str = "") -> AsyncIterator[Backend]:
    """A backend behind an agent's connection, for the length of the block."""
    ours, theirs = socket.socketpair()
    for each in (ours, theirs):
        each.setblocking(False)
    backend = Backend(theirs, tls, server_name)
    try:
        reader, writer = await asyncio.open_connection(sock=ours, limit=CHUNK)
        try:
            async with alongside(request=_upward(reader, dialled), answer=_downward(dialled, writer, backend)):
                yield backend
        finally:
            writer.transport.abort()
    finally:
        backend.close()


async def _upward(reader: asyncio.StreamReader, dialled: Dialled) -> None:
    try:
        while data := await reader.read(CHUNK):
            await dialled.write(data)
        await dialled.write_eof()
    except (OSError, StreamBroken) as error:
        logger.debug("a backend takes no more", extra={"error": str(error)})  # whoever reads it tells why


async def _downward(dialled: Dialled, writer: asyncio.StreamWriter, backend: Backend) -> None:
    try:
        while data := await dialled.read():
            writer.write(data)
            await writer.drain()
    except OSError:
        return  # nobody wants it any more
    except (StatusError, StreamBroken) as error:
        backend.failure = str(error)
    writer.close()
