"""The server's end of the tunnel: asks agents for streams and matches what they dial back.

Owns the agents' control WebSockets and the streams that are open or awaited; never dials an agent, and knows
nothing of what a stream carries. Every wait is bounded, every stream counted. A stream id is unguessable, good
once, and only for the node that was asked. Streams end with the control connection that they were asked for on, which
alone is pinged: whoever is held back by back-pressure answers no ping. Lives on one event loop.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web
from prometheus_client import Counter, Gauge

from shared.api.errors import NotFound, ServiceUnavailable, StatusError, Timeout, TooManyRequests, from_status
from shared.client import wire
from shared.streams import (
    CHUNK,
    MAX_FRAME,
    PING,
    STREAM_PROTOCOL,
    STREAMS_AT_ONCE,
    TUNNEL_PROTOCOL,
    Cancel,
    End,
    Open,
    Refuse,
    Usage,
    decode_frame,
    encode_frame,
)  # fmt: skip
from shared.usage import NodeUsage

logger = logging.getLogger(__name__)

TUNNELS = Gauge("longboat_tunnels", "Agents whose control connection is open.")
STREAMS = Gauge("longboat_streams", "Streams that are open or awaited.")
OPENED = Counter("longboat_streams_opened_total", "Streams asked of agents, by kind and outcome.", ["kind", "outcome"])


_CANCEL_SECONDS = 2.0
"""What a full control connection may hold up the end of a stream; its agent is about to be given up then."""


class StreamBroken(Exception):
    """A stream closed without its last frame: what was read is not all."""


@dataclass(slots=True, eq=False)
class _Awaited:
    node: str
    answer: asyncio.Future[AgentStream]


@dataclass(slots=True, eq=False)
class _Tunnel:
    node: str
    socket: web.WebSocketResponse
    streams: int = 0
    open: set[AgentStream] = field(default_factory=set)


class AgentStream:
    """An open stream. Read it to its end by iterating, write with ``send``; one reader and one writer."""

    def __init__(self, id: str, socket: web.WebSocketResponse) -> None:
        self.id, self._socket = id, socket
        self._closed = asyncio.Event()
        self.ended = False
        """The agent has said that it is over."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Its bytes until its end. Raises the StatusError it ended with, and StreamBroken when it was cut off.

        Nothing is read ahead: a slow consumer slows the agent down.
        """
        while True:
            message = await self._socket.receive()
            if message.type is WSMsgType.BINARY:
                yield message.data
            elif message.type is WSMsgType.TEXT:
                frame = decode_frame(message.data)
                if isinstance(frame, End):
                    self.ended = True
                    if frame.status is not None:
                        raise from_status(frame.status)
                    return
            else:
                raise StreamBroken("the agent's connection ended before the stream did")

    async def send(self, data: bytes) -> None:
        """Send bytes to the agent; waits while its buffers are full. Raises StreamBroken."""
        try:
            await self._socket.send_bytes(data)
        except (ConnectionError, RuntimeError) as error:
            raise StreamBroken("the agent's connection ended") from error

    async def close(self) -> None:
        """End it, however far it is; the agent stops serving it. Idempotent."""
        self._closed.set()
        await self._socket.close(drain=False)

    async def closed(self) -> None:
        """Until close() is called."""
        await self._closed.wait()


class TunnelHub:
    """All tunnels of this server. ``answer_timeout``: seconds that an agent has to dial back; ``on_usage`` takes what
    agents tell of their nodes."""

    def __init__(
        self,
        *,
        answer_timeout: float = 10.0,
        streams_at_once: int = STREAMS_AT_ONCE,
        on_usage: Callable[[str, NodeUsage], None] = lambda node, usage: None,
    ) -> None:
        self._on_usage = on_usage
        self._timeout, self._at_once = answer_timeout, streams_at_once
        self._tunnels: dict[str, _Tunnel] = {}
        self._awaited: dict[str, _Awaited] = {}

    def connected(self, node: str) -> bool:
        """Whether the node's agent can be asked for streams."""
        return node in self._tunnels

    @asynccontextmanager
    async def stream(self, node: str, kind: str, parameters: Mapping[str, Any]) -> AsyncIterator[AgentStream]:
        """Ask ``node`` for a stream; it is closed when the block is left.

        Raises ServiceUnavailable without a connected agent, Timeout when it does not dial back in time,
        TooManyRequests past the limit for a node, and whatever the agent refuses with.
        """
        tunnel = self._tunnels.get(node)
        if tunnel is None:
            OPENED.labels(kind, "unreachable").inc()
            raise ServiceUnavailable(f'the agent of node "{node}" is not connected', retry_after_seconds=5)
        if tunnel.streams >= self._at_once:
            OPENED.labels(kind, "limit").inc()
            raise TooManyRequests(f'node "{node}" serves {self._at_once} streams already', retry_after_seconds=1)
        tunnel.streams += 1
        STREAMS.inc()
        try:
            stream = await self._dialled_back(tunnel, kind, dict(parameters))
            tunnel.open.add(stream)
            try:
                yield stream
            finally:
                tunnel.open.discard(stream)
                if not stream.ended:
                    await _cancel(tunnel, stream)
                await stream.close()
        finally:
            tunnel.streams -= 1
            STREAMS.dec()

    async def close(self) -> None:
        """End every stream and tunnel; agents come back to whichever server answers next."""
        for tunnel in list(self._tunnels.values()):
            for stream in list(tunnel.open):
                await stream.close()
            await tunnel.socket.close(code=WSCloseCode.GOING_AWAY, drain=False)

    # --- requests of agents

    async def tunnel_handler(self, request: web.Request) -> web.StreamResponse:
        """GET .../nodes/{name}/tunnel: the control connection of a node, until it ends.

        A second one takes the first one's place: an agent that reconnects may be ahead of our noticing its loss.
        """
        node = request.match_info["name"]
        socket = web.WebSocketResponse(
            heartbeat=PING, protocols=(TUNNEL_PROTOCOL,), max_msg_size=MAX_FRAME, compress=False, timeout=2.0
        )
        await socket.prepare(request)
        tunnel, before = _Tunnel(node, socket), self._tunnels.get(node)
        self._tunnels[node] = tunnel
        TUNNELS.set(len(self._tunnels))
        logger.info("agent connected", extra={"node": node, "replaced": before is not None})
        try:
            if before is not None:
                await before.socket.close(drain=False)
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    self._frame(node, message.data)
        finally:
            if self._tunnels.get(node) is tunnel:
                del self._tunnels[node]
                self._give_up(node)
            for stream in list(tunnel.open):
                await stream.close()
            TUNNELS.set(len(self._tunnels))
            logger.info("agent disconnected", extra={"node": node})
        return socket

    async def stream_handler(self, request: web.Request) -> web.StreamResponse:
        """GET .../nodes/{name}/streams/{stream}: a stream dialled back, held until its reader is done."""
        node, id = request.match_info["name"], request.match_info["stream"]
        awaited = self._awaited.get(id)
        if awaited is None or awaited.node != node or awaited.answer.done():
            raise NotFound("no such stream is awaited")
        del self._awaited[id]
        socket = web.WebSocketResponse(
            protocols=(STREAM_PROTOCOL,), max_msg_size=2 * CHUNK, compress=False, timeout=2.0
        )
        await socket.prepare(request)
        wire.probe_connection(socket.get_extra_info("socket"))
        stream = AgentStream(id, socket)
        if awaited.answer.done():  # given up while the handshake was on its way
            await stream.close()
        else:
            awaited.answer.set_result(stream)
            await stream.closed()
        return socket

    # --- inside

    async def _dialled_back(self, tunnel: _Tunnel, kind: str, parameters: dict[str, Any]) -> AgentStream:
        id = secrets.token_urlsafe(24)
        answer: asyncio.Future[AgentStream] = asyncio.get_running_loop().create_future()
        self._awaited[id] = _Awaited(tunnel.node, answer)
        stream: AgentStream | None = None
        try:
            async with asyncio.timeout(self._timeout):
                await tunnel.socket.send_str(encode_frame(Open(id, kind, parameters)))
                stream = await answer
        except (ConnectionError, RuntimeError) as error:
            OPENED.labels(kind, "unreachable").inc()
            raise _has_gone(tunnel.node) from error
        except TimeoutError as error:
            OPENED.labels(kind, "timeout").inc()
            raise Timeout(f'the agent of node "{tunnel.node}" did not answer within {self._timeout:g} s') from error
        except StatusError:
            OPENED.labels(kind, "refused").inc()
            raise
        finally:
            self._awaited.pop(id, None)
            answer.cancel()
            if stream is None and not answer.cancelled() and answer.exception() is None:
                await answer.result().close()  # dialled back in the very moment that it was given up
        OPENED.labels(kind, "opened").inc()
        return stream

    def _frame(self, node: str, text: str) -> None:
        frame = decode_frame(text)
        if isinstance(frame, Usage):
            self._on_usage(node, frame.usage)
        if not isinstance(frame, Refuse):
            return
        awaited = self._awaited.get(frame.stream)
        if awaited is not None and awaited.node == node and not awaited.answer.done():
            awaited.answer.set_exception(from_status(frame.status))

    def _give_up(self, node: str) -> None:
        for awaited in self._awaited.values():
            if awaited.node == node and not awaited.answer.done():
                awaited.answer.set_exception(_has_gone(node))


async def _cancel(tunnel: _Tunnel, stream: AgentStream) -> None:
    try:
        async with asyncio.timeout(_CANCEL_SECONDS):
            await tunnel.socket.send_str(encode_frame(Cancel(stream.id)))
    except (ConnectionError, RuntimeError, TimeoutError):
        logger.debug("a stream was not cancelled: its agent has gone", extra={"node": tunnel.node})


def _has_gone(node: str) -> ServiceUnavailable:
    return ServiceUnavailable(f'the agent of node "{node}" has just gone', retry_after_seconds=5)


def add_routes(app: web.Application, hub: TunnelHub) -> None:
    """Serve the agents' two paths, until the application shuts down. Whoever may ask is decided before: only the
    node itself."""

    async def close(app: web.Application) -> None:
        await hub.close()

    app.on_shutdown.append(close)
    app.router.add_get("/apis/longboat.dev/v1/nodes/{name}/tunnel", hub.tunnel_handler)
    app.router.add_get("/apis/longboat.dev/v1/nodes/{name}/streams/{stream}", hub.stream_handler)
