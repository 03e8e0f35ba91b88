"""port-forward over SPDY/3.1: the client opens an error and a data stream for each connection.

Owns how streams become pairs and what a client is told of odd ones. The connection's bytes may come raw or inside of a
WebSocket. Source: pkg/kubelet/server/portforward/httpstream.go. One event loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from controlplane.apiserver.streams.forwarding import Forwarder
from controlplane.apiserver.streams.spdy.connection import SpdyConnection, SpdyStream
from controlplane.apiserver.streams.spdy.errors import ProtocolError
from shared.work.supervisor import Supervisor

logger = logging.getLogger(__name__)

PROTOCOL = "portforward.k8s.io"

CREATION_TIMEOUT = 30.0
"""Seconds that one stream of a pair waits for the other (the kubelet's DefaultStreamCreationTimeout)."""

_ERROR, _DATA = "error", "data"


@dataclass(slots=True)
class Pair:
    """The streams of one connection, as far as they are there."""

    port: int
    error: SpdyStream | None = None
    data: SpdyStream | None = None


class OddStream(Exception):
    """A stream that is none of a forwarded connection; the message says why."""


def read_headers(headers: Mapping[str, Sequence[str]], stream: int) -> tuple[str, int, str]:
    """Type, port and request id of a stream. Raises OddStream."""

    def first(name: str) -> str:
        return next(iter(headers.get(name, ())), "")

    kind, text = first("streamtype"), first("port")
    if not text:
        raise OddStream('"port" header is required')
    if not (text.isascii() and text.isdigit() and int(text) < 65536):
        raise OddStream(f'unable to parse "{text}" as a port')
    if int(text) == 0:
        raise OddStream(f'port "{text}" must be > 0')
    if not kind:
        raise OddStream('"streamType" header is required')
    if kind not in (_ERROR, _DATA):
        raise OddStream(f'invalid stream type "{kind}"')
    # Clients before 1.1 gave no id: the data stream was opened right after its error stream.
    return kind, int(text), first("requestid") or str(stream if kind == _ERROR else stream - 2)


class PortStreams:
    """Serves a client's connection."""

    def __init__(self, connection: SpdyConnection, forwarder: Forwarder, timeout: float = CREATION_TIMEOUT) -> None:
        self._connection, self._forwarder, self._timeout = connection, forwarder, timeout
        self._waiting: dict[str, Pair] = {}

    async def serve(self) -> None:
        """Forward what the client opens, until it hangs up."""
        async with Supervisor() as supervisor:
            supervisor.service("spdy", self._run())
            while (stream := await self._connection.accept()) is not None:
                try:
                    await self._take(stream, supervisor)
                except OddStream as error:
                    logger.info("a stream of a port-forward was refused", extra={"error": str(error)})
                    await _quietly(stream)
            supervisor.stop()

    async def _run(self) -> None:
        try:
            await self._connection.run()
        except (ProtocolError, ConnectionError):
            return  # its streams have ended, which their readers see

    async def _take(self, stream: SpdyStream, supervisor: Supervisor) -> None:
        kind, port, request = read_headers(stream.headers, stream.id)
        pair = self._waiting.get(request)
        if pair is None:
            pair = self._waiting[request] = Pair(port)
            supervisor.spawn("port-forward-wait", self._give_up(request, pair))
        if getattr(pair, kind) is not None:
            raise OddStream(f"request {request} has its {kind} stream already")
        setattr(pair, kind, stream)
        if pair.error is not None and pair.data is not None:
            del self._waiting[request]
            supervisor.spawn("port-forward", self._forward(pair.port, pair.error, pair.data))

    async def _give_up(self, request: str, pair: Pair) -> None:
        """End a pair whose other stream does not come."""
        await asyncio.sleep(self._timeout)
        if self._waiting.get(request) is not pair:
            return
        del self._waiting[request]
        for stream in (pair.error, pair.data):
            if stream is not None:
                await _quietly(stream)

    async def _forward(self, port: int, error: SpdyStream, data: SpdyStream) -> None:
        try:
            if said := await self._forwarder.forward(port, data):
                await error.write(said.encode())
            await data.close()
            await error.close()
        except ConnectionError as failure:
            logger.debug("a forwarded connection ended with its client", extra={"error": str(failure)})
        finally:
            data.drop()
            error.drop()


async def _quietly(stream: SpdyStream) -> None:
    try:
        await stream.cancel()
    except ConnectionError:
        logger.debug("a stream was not cancelled: its client has gone")
