"""port-forward over the channels of a WebSocket, one connection to each port that the query names.

Channel ``2 n`` carries the bytes of the n-th port, ``2 n + 1`` what went wrong; each begins with its port as two bytes,
the lower first. Source: pkg/kubelet/server/portforward/websocket.go. One reader and a task for each port.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from aiohttp import WSMsgType, web

from controlplane.apiserver.streams.channels import Channels
from controlplane.apiserver.streams.forwarding import Forwarder
from shared.api.errors import BadRequest
from shared.work.supervisor import Supervisor

logger = logging.getLogger(__name__)

MAX_PORTS = 100
"""Ports of one request: a channel is named by a byte."""

_WAITING = 16
"""Messages of a port that wait for the pod to take them."""


def parse_ports(values: Sequence[str]) -> list[int]:
    """The ``ports`` of a query. Raises BadRequest."""
    texts = [text for value in values for text in value.split(",")]
    if not texts:
        raise BadRequest('query parameter "ports" is required')
    if len(texts) > MAX_PORTS:
        raise BadRequest(f'query parameter "ports" names {len(texts)} ports; {MAX_PORTS} are the most')
    for text in texts:
        if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
            raise BadRequest(f'query parameter "ports": unable to parse "{text}" as a port from 1 to 65535')
    return [int(text) for text in texts]


class _Port:
    """A ``ClientBytes`` over two channels."""

    def __init__(self, socket: web.WebSocketResponse, channels: Channels, index: int) -> None:
        self._socket, self._channels, self._channel = socket, channels, 2 * index
        self._waiting: asyncio.Queue[bytes] = asyncio.Queue(_WAITING)
        self._over = False

    async def read(self) -> bytes:
        return b"" if self._over and self._waiting.empty() else await self._waiting.get()

    async def feed(self, data: bytes) -> None:
        """Waits while the pod does not take what came before."""
        if not self._over:
            await self._waiting.put(data)

    def end(self) -> None:
        """Nothing more comes, or is wanted."""
        self._over = True
        while self._waiting.full():
            self._waiting.get_nowait()
        self._waiting.put_nowait(b"")

    async def write(self, data: bytes) -> None:
        await self._send(self._channel, data)

    async def tell(self, error: str) -> None:
        """Raises ConnectionError."""
        await self._send(self._channel + 1, error.encode())

    async def begin(self, port: int) -> None:
        """Raises ConnectionError."""
        for channel in (self._channel, self._channel + 1):
            await self._send(channel, port.to_bytes(2, "little"))

    async def _send(self, channel: int, data: bytes) -> None:
        message = self._channels.encode(channel, data)
        try:
            if isinstance(message, str):
                await self._socket.send_str(message)
            else:
                await self._socket.send_bytes(message)
        except RuntimeError as error:
            raise ConnectionResetError("the client has closed the connection") from error


async def serve(socket: web.WebSocketResponse, channels: Channels, forwarder: Forwarder, ports: Sequence[int]) -> None:
    """Forward until every connection has ended, or the client is gone."""
    all_ports = [_Port(socket, channels, index) for index in range(len(ports))]
    async with Supervisor() as supervisor:
        forwarding = [
            supervisor.spawn("port-forward", _forward(forwarder, port, number))
            for port, number in zip(all_ports, ports, strict=True)
        ]
        reading = supervisor.spawn("port-forward-input", _read(socket, channels, all_ports))
        ended = asyncio.gather(*forwarding)
        await asyncio.wait((ended, reading), return_when=asyncio.FIRST_COMPLETED)
        supervisor.stop()


async def _forward(forwarder: Forwarder, port: _Port, number: int) -> None:
    try:
        await port.begin(number)
        if said := await forwarder.forward(number, port):
            await port.tell(said)
    except ConnectionError as error:
        logger.debug("a forwarded connection ended with its client", extra={"error": str(error)})
    finally:
        port.end()


async def _read(socket: web.WebSocketResponse, channels: Channels, ports: Sequence[_Port]) -> None:
    """What the client sends, until it is gone."""
    while True:
        message = await socket.receive()
        if message.type not in (WSMsgType.BINARY, WSMsgType.TEXT):
            break
        found = channels.decode(message.data)
        if found is not None and found[0] % 2 == 0 and found[0] // 2 < len(ports) and found[1]:
            await ports[found[0] // 2].feed(found[1])
    for port in ports:
        port.end()
