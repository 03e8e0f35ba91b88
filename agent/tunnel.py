"""The agent's end of the tunnel: one control WebSocket kept open, one WebSocket dialled back for each stream.

Owns connections and the number of streams; what a stream carries is its kind's. Nothing listens: every connection is
the agent's own, so hosts behind NAT work. Back-pressure is TCP's: a source is read no faster than the server takes. A
stream's failure ends that stream only; streams end with the control connection that they were asked for on, which
alone is pinged: whoever is held back by back-pressure answers no ping.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import quote

import aiohttp
import msgspec
from prometheus_client import Counter, Gauge

from agent.runtime.base import LogOptions, RuntimeFailure
from agent.streams.duplex import Duplex, Serve, while_there
from shared.api.errors import BadRequest, InternalError, StatusError, TooManyRequests
from shared.api.meta import JSON
from shared.client.http import HttpClient
from shared.streams import (
    CHUNK,
    LOG,
    MAX_FRAME,
    PING,
    STREAM_PROTOCOL,
    STREAMS_AT_ONCE,
    TUNNEL_PROTOCOL,
    Cancel,
    End,
    LogParameters,
    Open,
    Refuse,
    Usage,
    decode_frame,
    encode_frame,
    stream_path,
    tunnel_path,
)  # fmt: skip
from shared.usage import NodeUsage
from shared.work.backoff import Backoff
from shared.work.clock import Clock, SystemClock
from shared.work.supervisor import Supervisor

logger = logging.getLogger(__name__)

CONNECTED = Gauge("longboat_agent_tunnel_connected", "1 while the control connection is open.")
OPEN = Gauge("longboat_agent_streams_open", "Streams that are served now.")
SERVED = Counter("longboat_agent_streams_total", "Streams asked for, by kind and outcome.", ["kind", "outcome"])

_STEADY = 10.0
"""Seconds after which a control connection counts as good: the next back-off begins anew."""

_LINGER = 10.0
"""Seconds that a stream waits at its end for the server to close it."""


@dataclass(frozen=True, slots=True)
class PodLogOptions(LogOptions):
    """What a runtime is asked for, and whether it is of the container before the last restart."""

    previous: bool = False


class LogSource(Protocol):
    """Where logs come from: the agent's pods."""

    def logs(self, namespace: str, name: str, uid: str, container: str, options: PodLogOptions) -> AsyncIterator[bytes]:
        """The bytes of a container's log, with ``follow`` until it ends. May raise StatusErrors (NotFound,
        BadRequest), which reach the client, and RuntimeFailure. Closed (``aclose``) when nobody reads any more."""
        ...


StreamKind = Callable[[dict[str, Any]], Serve]
"""From the parameters of a stream to what serves it. May raise StatusErrors, with which it is refused."""


class Tunnel:
    """Keeps the control connection open and serves streams: logs, and those of ``kinds``. ``streams_at_once`` bounds
    them."""

    def __init__(
        self,
        client: HttpClient,
        node_name: str,
        logs: LogSource,
        *,
        kinds: Mapping[str, StreamKind] | None = None,
        backoff: Backoff = Backoff(0.2, 5.0, 0.5),
        streams_at_once: int = STREAMS_AT_ONCE,
        clock: Clock = SystemClock(),
        rng: random.Random | None = None,
    ) -> None:
        self._client, self._logs = client, logs
        self._kinds: Mapping[str, StreamKind] = {LOG: self._log} | dict(kinds or {})
        self._node, self._quoted = node_name, quote(node_name, safe="")
        self._backoff, self._at_once, self._clock, self._rng = backoff, streams_at_once, clock, rng
        self._serving: dict[str, asyncio.Event] = {}
        self._control: aiohttp.ClientWebSocketResponse | None = None

    async def tell(self, usage: NodeUsage) -> None:
        """Say what the node uses, if there is a connection: what is not told now is told next time."""
        frame = encode_frame(Usage(usage))
        if self._control is None or len(frame) > MAX_FRAME:
            return
        try:
            await self._control.send_str(frame)
        except (ConnectionError, RuntimeError):
            return  # the connection has just ended, which its reader finds out

    async def run(self) -> None:
        """Connect, serve, connect again, until cancelled."""
        failures = 0
        while True:
            began = self._clock.monotonic()
            try:
                await self._serve()
                error: StatusError | None = None
            except StatusError as failure:
                error = failure
            if self._clock.monotonic() - began >= _STEADY:
                failures = 0
            if failures == 0:
                logger.info("tunnel closed", extra={"node": self._node, "error": error.message if error else ""})
            delay = self._backoff.delay(failures, self._rng)
            failures += 1
            await asyncio.sleep(delay)

    async def _serve(self) -> None:
        """One control connection, to its end, and its streams."""
        path = tunnel_path(self._quoted)
        async with self._client.websocket(
            path, protocol=TUNNEL_PROTOCOL, heartbeat=PING, max_message=MAX_FRAME
        ) as control:
            CONNECTED.set(1)
            self._control = control
            self._serving = {}
            logger.info("tunnel open", extra={"node": self._node})
            try:
                async with Supervisor() as streams:
                    try:
                        async for message in control:
                            if message.type is not aiohttp.WSMsgType.TEXT:
                                continue
                            frame = decode_frame(message.data)
                            if isinstance(frame, Open):
                                await self._accept(control, frame, streams)
                            elif isinstance(frame, Cancel) and frame.stream in self._serving:
                                self._serving[frame.stream].set()
                    finally:
                        streams.stop()
            finally:
                self._control = None
                CONNECTED.set(0)

    async def _accept(self, control: aiohttp.ClientWebSocketResponse, frame: Open, streams: Supervisor) -> None:
        try:
            if len(self._serving) >= self._at_once:
                raise TooManyRequests(f'node "{self._node}" serves {self._at_once} streams already')
            kind = self._kinds.get(frame.kind)
            if kind is None:
                raise BadRequest(f"this agent does not serve streams of kind {frame.kind!r}; upgrade it")
            serve = kind(frame.parameters)
        except StatusError as error:
            SERVED.labels(frame.kind[:20], "refused").inc()
            try:
                await control.send_str(encode_frame(Refuse(frame.stream, error.to_status())))
            except (ConnectionError, RuntimeError):
                return  # the connection has just ended, which its reader finds out
            return
        self._serving[frame.stream] = cancelled = asyncio.Event()
        streams.spawn(f"stream-{frame.kind}", self._stream(frame, serve, cancelled))

    def _log(self, parameters: dict[str, Any]) -> Serve:
        """The kind of logs. Raises BadRequest, and what the logs refuse with."""
        try:
            asked = msgspec.convert(parameters, LogParameters)
            options = PodLogOptions(
                follow=asked.follow, tail_lines=asked.tail_lines, timestamps=asked.timestamps,
                since=datetime.fromisoformat(asked.since_time) if asked.since_time else None,
                since_seconds=asked.since_seconds, limit_bytes=asked.limit_bytes, previous=asked.previous,
            )  # fmt: skip
        except (msgspec.ValidationError, ValueError) as error:
            raise BadRequest(f"the log options cannot be read: {error}") from error
        source = self._logs.logs(asked.namespace, asked.name, asked.uid, asked.container, options)

        async def serve(duplex: Duplex) -> None:
            await while_there(duplex, _copy(source, duplex))

        return serve

    async def _stream(self, frame: Open, serve: Serve, cancelled: asyncio.Event) -> None:
        outcome, serving = "broken", self._serving
        OPEN.inc()
        try:
            path = stream_path(self._quoted, quote(frame.stream, safe=""))
            async with self._client.websocket(path, protocol=STREAM_PROTOCOL, heartbeat=None) as socket:
                try:
                    duplex = Duplex(socket, cancelled)
                    failure = await _failure_of(serve(duplex), frame.kind)
                    await socket.send_str(encode_frame(End(failure)))
                    outcome = "ended"
                    await _until_heard(duplex)
                except (ConnectionError, RuntimeError):
                    outcome = "cancelled"  # the server has closed the stream
        except StatusError as error:
            logger.info("stream not served", extra={"kind": frame.kind, "error": error.message})
        finally:
            serving.pop(frame.stream, None)
            OPEN.dec()
            SERVED.labels(frame.kind, outcome).inc()


async def _failure_of(serving: Awaitable[None], kind: str) -> JSON | None:
    """The Status of what a stream ended with, if it did not just end. Raises ConnectionError without the server."""
    try:
        await serving
    except ConnectionError:
        raise
    except StatusError as error:
        return error.to_status()
    except RuntimeFailure as error:
        return InternalError(error.message).to_status()
    except Exception:
        logger.exception("a stream failed", extra={"kind": kind})
        return InternalError("the agent could not serve the stream; its own log says why").to_status()
    return None


async def _until_heard(duplex: Duplex) -> None:
    """Until the server has had the last frame, and closes: were the connection closed while it still sends, TCP would
    reset it, and what is on its way be lost."""
    try:
        async with asyncio.timeout(_LINGER):
            while await duplex.receive() is not None:
                continue
    except TimeoutError:
        logger.debug("a server was slow to take the end of a stream")


async def _copy(source: AsyncIterator[bytes], duplex: Duplex) -> None:
    """Everything that the source has."""
    try:
        async for piece in source:
            for start in range(0, len(piece), CHUNK):
                await duplex.send(piece[start : start + CHUNK])
    finally:
        await _close(source)


async def _close(source: Any) -> None:
    """Let an async generator run its ``finally`` now, not when it is collected."""
    close = getattr(source, "aclose", None)
    if close is not None:
        await close()
