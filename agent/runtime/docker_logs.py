"""A container's log out of the daemon's multiplexed stream, with back-pressure.

A thread reads and waits when the consumer is slow: at most a megabyte is on its way. When the consumer goes away
the connection is shut, which ends the thread at once.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from functools import partial

from docker import APIClient
from docker.errors import create_api_error_from_http_exception
from docker.types import CancellableStream
from requests import HTTPError, Response

from agent.runtime.base import LogOptions, RuntimeFailure
from agent.runtime.docker_engine import DockerEngine, Interrupt
from shared.work.clock import Clock

_ON_THE_WAY = 1 << 20
_HEADER = 8


class Demultiplexer:
    """Takes apart the frames of a container without a terminal (Engine API, "Stream format"): a header of eight
    bytes with the payload's length in the last four, then the payload."""

    def __init__(self) -> None:
        self._header = b""
        self._stream = self._left = 0

    def feed(self, chunk: bytes) -> bytes:
        """The payload in ``chunk``, both streams in the order written; frames may be cut anywhere."""
        return b"".join(part for _, part in self.split(chunk))

    def split(self, chunk: bytes) -> list[tuple[int, bytes]]:
        """The same with each part's stream: 1 for stdout, 2 for stderr. Neighbours of one stream are one part."""
        found: list[tuple[int, bytes]] = []
        position = 0
        while position < len(chunk):
            if self._left:
                part = chunk[position : position + self._left]
                self._left -= len(part)
                position += len(part)
                before = found.pop()[1] if found and found[-1][0] == self._stream else b""
                found.append((self._stream, before + part))
                continue
            part = chunk[position : position + _HEADER - len(self._header)]
            self._header += part
            position += len(part)
            if len(self._header) == _HEADER:
                self._stream, self._left = self._header[0], int.from_bytes(self._header[4:], "big")
                self._header = b""
        return found


class Handoff:
    """Bytes from one thread to one coroutine, at most about ``limit`` waiting. The thread blocks, never the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, limit: int = _ON_THE_WAY) -> None:
        self._loop, self._limit = loop, limit
        self._condition = threading.Condition()
        self._waiting = bytearray()
        self._ended = self._abandoned = self._told = False
        self._error: BaseException | None = None
        self._wake = asyncio.Event()

    def put(self, data: bytes) -> bool:
        """In the thread; waits while too much is waiting. False when nobody reads any more."""
        with self._condition:
            while len(self._waiting) >= self._limit and not self._abandoned:
                self._condition.wait()
            if self._abandoned:
                return False
            self._waiting += data
            self._tell()
        return True

    def end(self, _: None, error: BaseException | None) -> None:
        """In the thread: no more comes."""
        with self._condition:
            self._ended, self._error = True, error
            self._tell()

    async def take(self) -> bytes:
        """All that is waiting; empty at the end. Raises what the thread raised."""
        while True:
            with self._condition:
                self._told = False
                self._wake.clear()
                if self._waiting:
                    data = bytes(self._waiting)
                    self._waiting.clear()
                    self._condition.notify()
                    return data
                if self._ended:
                    if self._error is not None:
                        raise self._error
                    return b""
            await self._wake.wait()

    def abandon(self) -> None:
        """The reader is gone."""
        with self._condition:
            self._abandoned = True
            self._waiting.clear()
            self._condition.notify()

    def _tell(self) -> None:
        if not self._told:
            self._told = True
            with suppress(RuntimeError):  # the loop has been closed
                self._loop.call_soon_threadsafe(self._wake.set)


def log_parameters(options: LogOptions, now: float) -> dict[str, str]:
    """Query of ``GET /containers/{id}/logs``; ``now`` in seconds since the epoch."""
    parameters = {"stdout": "1", "stderr": "1", "follow": "1" if options.follow else "0"}
    parameters["timestamps"] = "1" if options.timestamps else "0"
    parameters["tail"] = "all" if options.tail_lines is None else str(max(0, options.tail_lines))
    if options.since is not None:
        parameters["since"] = f"{options.since.timestamp():.9f}"
    elif options.since_seconds is not None:
        parameters["since"] = f"{max(0.0, now - options.since_seconds):.9f}"
    return parameters


async def logs(
    engine: DockerEngine, budget: asyncio.Semaphore, clock: Clock, container_id: str, options: LogOptions
) -> AsyncIterator[bytes]:
    """The log's bytes. Raises RuntimeFailure, with LogStreamBusy when too many streams are open."""
    if budget.locked():
        raise RuntimeFailure("too many log streams are open on this node; close some and try again", "LogStreamBusy")
    left = options.limit_bytes
    async with budget:
        handoff = Handoff(asyncio.get_running_loop())
        interrupt = Interrupt()
        parameters = log_parameters(options, clock.now().timestamp())
        work = partial(_read, container_id, parameters, handoff.put, interrupt)
        engine.background("logs", work, handoff.end)
        try:
            while (left is None or left > 0) and (data := await handoff.take()):
                if left is not None:
                    data = data[:left]
                    left -= len(data)
                yield data
        finally:
            handoff.abandon()
            interrupt.fire()


def _read(
    container_id: str, parameters: dict[str, str], put: Callable[[bytes], bool], interrupt: Interrupt, client: APIClient
) -> None:
    terminal = bool(client.inspect_container(container_id)["Config"].get("Tty"))
    following = parameters["follow"] == "1"
    response = client.get(
        f"{client.base_url}/v{client.api_version}/containers/{container_id}/logs",
        params=parameters,
        timeout=(client.timeout, None if following else client.timeout),
        stream=True,
    )
    with response:
        interrupt.attach(CancellableStream(iter(()), response).close)
        _check(response)
        demultiplexer = None if terminal else Demultiplexer()
        try:
            for chunk in response.iter_content(chunk_size=None):
                data = demultiplexer.feed(chunk) if demultiplexer else chunk
                if data and not put(data):
                    return
        except Exception:
            if not interrupt.fired:  # else the broken connection is our own doing
                raise


def _check(response: Response) -> None:
    try:
        response.raise_for_status()
    except HTTPError as error:
        create_api_error_from_http_exception(error)
