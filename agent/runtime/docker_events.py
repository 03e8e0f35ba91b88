"""The daemon's event stream as EngineEvents: reconnecting, never blocking the daemon, never silently lossy.

A thread reads the stream and hands each event to the loop. The daemon drops events of a reader that is slow, so
the thread never waits for the consumer: when too many are waiting they are replaced by one that says to look at
everything again. The same goes out at every (re)connection.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import orjson
from docker import APIClient
from docker.types import CancellableStream
from requests import Response

from agent.runtime import docker_names as names
from agent.runtime import metrics
from agent.runtime.base import EngineEvent, RuntimeFailure, RuntimeUnavailable
from agent.runtime.docker_engine import DockerEngine, Interrupt
from shared.work.backoff import Backoff
from shared.work.clock import Clock

logger = logging.getLogger(__name__)

LOOK_AGAIN = EngineEvent("", "", "")
_ACTIONS = ("start", "die", "destroy", "oom")
_LIMIT = 4096
_OVERLAP_SECONDS = 2.0
"""The daemon sends its answer's head a moment before it subscribes: events of the last seconds are asked for too."""


class EventQueue:
    """Events from the reading thread on their way to the loop; at most ``limit`` wait."""

    def __init__(self, loop: asyncio.AbstractEventLoop, limit: int = _LIMIT) -> None:
        self._loop, self._limit = loop, limit
        self._events: deque[EngineEvent] = deque()
        self._wake = asyncio.Event()
        self._ended = False
        self.error: BaseException | None = None

    def send(self, event: EngineEvent) -> None:
        """From any thread; returns at once."""
        with suppress(RuntimeError):  # the loop has been closed
            self._loop.call_soon_threadsafe(self.deliver, event)

    def end(self, _: None, error: BaseException | None) -> None:
        """From any thread: no more events come."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._finish, error)

    def deliver(self, event: EngineEvent) -> None:
        """On the loop."""
        if len(self._events) >= self._limit:
            self._events.clear()
            metrics.EVENTS_MISSED.inc()
            event = LOOK_AGAIN
        self._events.append(event)
        self._wake.set()

    async def take(self) -> EngineEvent | None:
        """The next event; None after the last, when ``error`` says why."""
        while not self._events:
            if self._ended:
                return None
            self._wake.clear()
            await self._wake.wait()
        return self._events.popleft()

    def _finish(self, error: BaseException | None) -> None:
        self._ended, self.error = True, error
        self._wake.set()


async def events(engine: DockerEngine, node: str, clock: Clock, backoff: Backoff) -> AsyncIterator[EngineEvent]:
    """Events of this node's containers, without end."""
    failures = 0
    while True:
        queue = EventQueue(asyncio.get_running_loop())
        interrupt = Interrupt()
        connected_at = clock.monotonic()
        engine.background("events", partial(_read, node, clock, queue, interrupt), queue.end)
        try:
            while (event := await queue.take()) is not None:
                yield event
        finally:
            interrupt.fire()
        if queue.error is not None and not isinstance(queue.error, RuntimeFailure):
            raise queue.error
        logger.warning("the event stream of the Docker daemon broke", extra={"reason": str(queue.error)})
        metrics.EVENTS_MISSED.inc()
        failures = 0 if clock.monotonic() - connected_at > backoff.cap else failures + 1
        await asyncio.sleep(backoff.delay(failures))


def _read(node: str, clock: Clock, queue: EventQueue, interrupt: Interrupt, client: APIClient) -> None:
    since = clock.now().timestamp() - _OVERLAP_SECONDS
    filters = {"type": ["container"], "label": [f"{names.NODE}={node}"], "event": list(_ACTIONS)}
    response = client.get(
        f"{client.base_url}/v{client.api_version}/events",
        params={"filters": orjson.dumps(filters).decode(), "since": f"{since:.9f}"},
        timeout=(client.timeout, None),
        stream=True,
    )
    with response:
        interrupt.attach(CancellableStream(iter(()), response).close)
        response.raise_for_status()
        queue.send(LOOK_AGAIN)
        for line in _lines(response):
            if event := parse_event(orjson.loads(line)):
                metrics.EVENTS.labels(event.action).inc()
                queue.send(event)
    if not interrupt.fired:
        raise RuntimeUnavailable("the Docker daemon ended its event stream")


def _lines(response: Response) -> Iterator[bytes]:
    """Lines as they arrive: the daemon ends each event with a newline."""
    waiting = b""
    for chunk in response.iter_content(chunk_size=None):
        *complete, waiting = (waiting + chunk).split(b"\n")
        yield from (line for line in complete if line.strip())


def parse_event(raw: dict[str, Any]) -> EngineEvent | None:
    """One event of the Engine API; None for what does not concern a sandbox or a pod's container."""
    actor = raw.get("Actor") or {}
    attributes = actor.get("Attributes") or {}
    action, container_id = raw.get("Action", ""), actor.get("ID", "")
    if action not in _ACTIONS or not container_id:
        return None
    return EngineEvent(action, container_id, names.event_pod_uid(attributes))
