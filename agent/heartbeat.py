"""The heartbeat: tells the server, again and again, that this node is alive.

Owns the rhythm and the knowledge of when the server last heard of us (``last_success``, for fencing). It never
writes an object. An attempt never waits longer than the interval, and after a failure the next one comes no later
than the interval, so one lost packet costs no lease. One task, on the event loop; deadlines are monotonic.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Protocol
from urllib.parse import quote

from prometheus_client import Counter, Gauge, Histogram

from shared import codec
from shared.api.errors import InternalError, NotFound, StatusError
from shared.observe.metrics import REQUEST
from shared.work.backoff import Backoff
from shared.work.clock import Clock, SystemClock

logger = logging.getLogger(__name__)

SENT = Counter("longboat_agent_heartbeats_total", "Heartbeats sent, by outcome.", ["outcome"])
LATENCY = Histogram("longboat_agent_heartbeat_seconds", "How long the server took to answer.", buckets=REQUEST)
LAST = Gauge("longboat_agent_heartbeat_interval_seconds", "The interval that the server asks for.")

_SHORTEST, _LONGEST = 0.05, 300.0
"""Bounds, in seconds, on the interval that a server may ask for."""


class Requests(Protocol):
    """What is needed of a client: ``shared.client.http.HttpClient`` is one."""

    async def request(
        self, method: str, path: str, *, body: bytes | None = None, timeout: float | None = None
    ) -> bytes: ...

    async def reconnect(self) -> None: ...


class Heartbeat:
    """Times in seconds. ``on_missing`` is awaited when the server does not know the node: register it again.
    ``on_ready`` is told the Ready condition's status that the server has, with every answer; it must not block."""

    def __init__(
        self,
        client: Requests,
        node_name: str,
        *,
        on_missing: Callable[[], Awaitable[None]],
        on_ready: Callable[[str], None] = lambda status: None,
        interval: float = 1.0,
        clock: Clock = SystemClock(),
        rng: random.Random | None = None,
        boot_id: str = "",
    ) -> None:
        self._client, self._clock, self._rng = client, clock, rng
        self._path = f"/apis/longboat.dev/v1/nodes/{quote(node_name, safe='')}/heartbeat"
        self._node, self._on_missing, self._on_ready = node_name, on_missing, on_ready
        self._body = codec.encode({"bootID": boot_id} if boot_id else {})
        self.interval = interval
        self.ttl = 4 * interval
        """How long the server waits for us, counted from when it got a heartbeat."""
        self.last_success: float | None = None
        """Monotonic time at which the last heartbeat that was answered was *sent*: the server's lease of this node
        lasts until ``last_success + ttl`` at the least. None before the first."""
        self._failures = 0

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            started = self._clock.monotonic()
            await self.beat()
            pause = self.interval
            if self._failures:
                pause = min(pause, Backoff(self.interval / 5, self.interval).delay(self._failures - 1, self._rng))
            await asyncio.sleep(max(0.0, started + pause - self._clock.monotonic()))

    async def beat(self) -> bool:
        """One heartbeat; whether it was answered. Failures are logged and counted, never raised."""
        sent = self._clock.monotonic()
        try:
            async with asyncio.timeout(self.interval):
                answer = await self._client.request("POST", self._path, body=self._body, timeout=self.interval)
            status = self._read(answer)
        except NotFound:
            SENT.labels("unknown-node").inc()
            self._failures += 1
            logger.warning("the server does not know this node; registering again", extra={"node": self._node})
            await self._register()
            return False
        except (StatusError, TimeoutError) as error:
            SENT.labels("failed").inc()
            self._failures += 1
            if self._failures in (1, 10) or self._failures % 300 == 0:  # the first, and a reminder now and then
                logger.warning(
                    "heartbeat failed",
                    extra={"node": self._node, "failures": self._failures, "error": str(error) or "no answer in time"},
                )
            return False
        LATENCY.observe(self._clock.monotonic() - sent)
        SENT.labels("answered").inc()
        was, self.last_success = self.last_success, sent
        if self._failures:
            logger.info("heartbeats are answered again", extra={"node": self._node, "failures": self._failures})
        self._failures = 0
        if was is not None and sent - was > self.ttl:
            # Long enough for old connections to hang on a link that has lost their packets: their next
            # retransmission may be a minute away, while a new connection works at once.
            await self._client.reconnect()
        self._on_ready(status)
        return True

    def fenced(self, margin: float = 0.0) -> bool:
        """Whether the server may by now count this node as lost, ``margin`` seconds early."""
        return self.last_success is None or self._clock.monotonic() >= self.last_success + self.ttl - margin

    def _read(self, answer: bytes) -> str:
        """Take the interval and the TTL of an answer; the Ready status in it."""
        try:
            tree = codec.decode(answer)
            interval, ttl = float(tree["intervalSeconds"]), float(tree["ttlSeconds"])
            status = str(tree.get("ready", ""))
        except (codec.CodecError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise InternalError(f"the server's answer to a heartbeat cannot be read: {error!r}") from error
        self.interval = min(max(interval, _SHORTEST), _LONGEST)
        self.ttl = max(ttl, self.interval)
        LAST.set(self.interval)
        return status

    async def _register(self) -> None:
        try:
            async with asyncio.timeout(max(10.0, self.interval)):
                await self._on_missing()
        except (StatusError, TimeoutError) as error:
            logger.warning("cannot register", extra={"node": self._node, "error": str(error)})
