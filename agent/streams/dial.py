"""Serves ``dial``: one TCP connection to a pod of this node, joined to a stream until both sides have ended.

Only pods of this node are reached, at the address that the agent itself gave them: what the server says chooses a
pod and a port, never a host. Bytes are read no faster than the other side takes them. Each connection is served by
one task that reads the pod and one that reads the server.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from agent.namespaces import Kind, call_in
from agent.streams.duplex import Duplex, Serve, first_of
from shared.api.errors import BadRequest, ServiceUnavailable
from shared.dial import CONNECT_SECONDS, CONNECTED, END, STALL_SECONDS, Dial
from shared.streams import CHUNK

_LOOPBACK = ("127.0.0.1", "::1")
"""What localhost is tried as, in this order (containerd's portForward in internal/cri/server/sandbox_portforward)."""


@dataclass(frozen=True, slots=True)
class PodPlace:
    """Where a pod is reached: ``address`` from its host, and a process in its network namespace. Either may be missing
    while the pod comes or goes."""

    address: str
    process_id: int


class FindsPlaces(Protocol):
    """See ``agent.pods.finding.PodPlaces.find``."""

    def __call__(self, namespace: str, name: str, uid: str) -> PodPlace: ...


class Dialler:
    """The kind of streams. ``connect_seconds`` and ``stall_seconds`` as in ``shared.dial``."""

    def __init__(
        self, find: FindsPlaces, *, connect_seconds: float = CONNECT_SECONDS, stall_seconds: float = STALL_SECONDS
    ) -> None:
        self._find, self._connect_seconds, self._stall_seconds = find, connect_seconds, stall_seconds

    def dial(self, parameters: dict[str, Any]) -> Serve:
        """Raises BadRequest, NotFound, and ServiceUnavailable for a pod that does not run."""
        try:
            asked = msgspec.convert(parameters, Dial)
        except msgspec.ValidationError as error:
            raise BadRequest(f"what to dial cannot be read: {error}") from error
        if not 0 < asked.port < 65536:
            raise BadRequest(f"{asked.port} is not a port")
        place = self._find(asked.namespace, asked.name, asked.uid)
        if not place.process_id or not (place.address or asked.loopback):
            raise ServiceUnavailable(f'pod "{asked.name}" is not running')

        async def serve(duplex: Duplex) -> None:
            connected = await self._connect(place, asked)
            joined = _Joined(duplex, *await asyncio.open_connection(sock=connected, limit=CHUNK), self._stall_seconds)
            try:
                await duplex.send(CONNECTED)
                await first_of(duplex, joined.outward(), joined.inward())
            finally:
                joined.abort()

        return serve

    async def _connect(self, place: PodPlace, asked: Dial) -> socket.socket:
        """Raises ServiceUnavailable, in Go's words for the failures of a dial."""
        hosts: Sequence[str] = _LOOPBACK if asked.loopback else (place.address,)
        failures: list[str] = []
        for host in hosts:
            where = f"dial tcp {f'[{host}]' if ':' in host else host}:{asked.port}"
            try:
                async with asyncio.timeout(self._connect_seconds):
                    return await _connected(host, asked.port, place.process_id if asked.loopback else 0)
            except TimeoutError:
                failures.append(f"{where}: i/o timeout")
            except OSError as error:
                failures.append(f"{where}: connect: {_said(error)}")
        raise ServiceUnavailable(", ".join(failures))


class _Joined:
    """The two directions of a connection."""

    def __init__(
        self, duplex: Duplex, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, stall_seconds: float
    ) -> None:
        self._duplex, self._reader, self._writer, self._stall_seconds = duplex, reader, writer, stall_seconds
        self._over = asyncio.Event()
        """Nothing more is given to the pod."""
        self._stalled = False

    async def outward(self) -> None:
        """All that the pod sends, then the server's end. Raises ServiceUnavailable when the pod breaks off."""
        while data := await self._read():
            await self._duplex.send(data)
        if self._stalled:
            raise ServiceUnavailable(f"the pod has taken nothing for {self._stall_seconds:g} s")
        await self._duplex.send(END)
        await self._over.wait()
        self._writer.close()
        with suppress(OSError):  # both sides had said that they were done
            async with asyncio.timeout(self._stall_seconds):
                await self._writer.wait_closed()

    async def inward(self) -> None:
        """What the server sends, until it is gone. What a pod that has ended is given is lost: whoever reads the pod
        tells its end."""
        while (message := await self._duplex.receive()) is not None:
            if self._over.is_set():
                continue
            try:
                if message == END:
                    self._writer.write_eof()
                    self._over.set()
                else:
                    self._writer.write(message)
                    async with asyncio.timeout(self._stall_seconds):
                        await self._writer.drain()
            except TimeoutError:
                self._stalled = True
                self._over.set()
                self.abort()
            except (OSError, RuntimeError):
                self._over.set()

    def abort(self) -> None:
        """Let go of the connection, however far it is. Idempotent."""
        self._writer.transport.abort()

    async def _read(self) -> bytes:
        try:
            return await self._reader.read(CHUNK)
        except OSError as error:
            raise ServiceUnavailable(f"the pod broke the connection off: {_said(error)}") from error


def _said(error: OSError) -> str:
    """The system's words, which asyncio replaces by its own."""
    return os.strerror(error.errno).lower() if error.errno else str(error)


async def _connected(host: str, port: int, process_id: int) -> socket.socket:
    """A connected socket, of the network namespace of ``process_id`` where that is not 0. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = await asyncio.to_thread(_socket_of, process_id, family) if process_id else _socket(family)
    try:
        await asyncio.get_running_loop().sock_connect(made, (host, port))
    except BaseException:
        made.close()
        raise
    return made


def _socket(family: int) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return made


def _socket_of(process_id: int, family: int) -> socket.socket:
    """A socket belongs to the namespace that it was made in, wherever it is used from."""
    namespace = os.open(f"/proc/{process_id}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return call_in(namespace, Kind.NETWORK, lambda: _socket(family))
    finally:
        os.close(namespace)
