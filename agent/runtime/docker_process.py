"""Commands in containers and containers' own processes, talked to from far away: ``RemoteProcess`` on Docker.

Owns the connection of each, its multiplexing, and how it ends. Bytes wait in the sockets' buffers and one chunk here,
both ways. Short calls go through the engine's pool. Lives on the event loop.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any
from urllib.parse import urlencode

from docker import APIClient

from agent.runtime import docker_exec
from agent.runtime.base import ProcessStreams, RuntimeFailure
from agent.runtime.docker_engine import DockerEngine
from agent.runtime.docker_hijack import CHUNK, Connection, hijack
from agent.runtime.docker_logs import Demultiplexer
from shared.work.backoff import Backoff

logger = logging.getLogger(__name__)

_STDOUT = 1
_LOOK = Backoff(0.01, 1.0)
"""Between looks for the exit code: the daemon closes the streams a moment before it knows, and a command may close
its own long before it ends."""

_RESIZE = Backoff(0.02, 0.5)
_RESIZE_TRIES = 8
"""A terminal can be resized once its process runs, which no answer of the daemon tells."""


async def open_exec(
    engine: DockerEngine, container_id: str, command: Sequence[str], streams: ProcessStreams
) -> DockerProcess:
    """Raises RuntimeFailure."""

    def create(client: APIClient) -> tuple[str, str]:
        made = client.exec_create(
            container_id,
            list(command),
            stdin=streams.stdin,
            stdout=streams.stdout,
            stderr=streams.stderr,
            tty=streams.tty,
        )
        return str(made["Id"]), str(client.api_version)

    exec_id, version = await engine.call("exec_create", create, write=True)
    body = {"Detach": False, "Tty": streams.tty}
    path = f"/v{version}/exec/{exec_id}/start"
    connection = await hijack(engine.options.host, path, body, engine.options.write_timeout)
    return DockerProcess(engine, connection, container_id, exec_id, terminal=streams.tty)


async def open_attach(engine: DockerEngine, container_id: str, streams: ProcessStreams) -> DockerProcess:
    """Raises RuntimeFailure."""

    def look(client: APIClient) -> tuple[dict[str, Any], str]:
        return client.inspect_container(container_id), str(client.api_version)

    found, version = await engine.call("inspect", look)
    if not found["State"].get("Running"):
        raise RuntimeFailure(f"container {container_id[:12]} is not running", "AttachFailed")
    wanted = {"stdin": streams.stdin, "stdout": streams.stdout, "stderr": streams.stderr}
    query = urlencode({"stream": 1} | {name: 1 for name, asked in wanted.items() if asked})
    path = f"/v{version}/containers/{container_id}/attach?{query}"
    connection = await hijack(engine.options.host, path, None, engine.options.write_timeout)
    config = found["Config"]
    terminal = bool(config.get("Tty"))
    ends = bool(config.get("StdinOnce")) and not terminal
    return DockerProcess(engine, connection, container_id, "", terminal=terminal, stdin_ends=ends)


class DockerProcess:
    """A command (``exec_id``) in a container, or the container's own process. See ``RemoteProcess``."""

    def __init__(
        self,
        engine: DockerEngine,
        connection: Connection,
        container_id: str,
        exec_id: str,
        *,
        terminal: bool,
        stdin_ends: bool = True,
    ) -> None:
        self._stdin_ends = stdin_ends
        self._engine, self._container, self._exec, self._terminal = engine, container_id, exec_id, terminal
        self._reader, self._writer = connection
        self._demultiplexer = None if terminal else Demultiplexer()
        self._parts: list[tuple[int, bytes]] = []

    async def read(self) -> tuple[int, bytes] | None:
        while not self._parts:
            try:
                chunk = await self._reader.read(CHUNK)
            except OSError:
                return None  # the daemon is gone, which the question for the exit code will tell
            if not chunk:
                return None
            self._parts = [(_STDOUT, chunk)] if self._demultiplexer is None else self._demultiplexer.split(chunk)
        return self._parts.pop(0)

    async def write(self, data: bytes) -> None:
        with suppress(OSError):  # it has ended
            self._writer.write(data)
            await self._writer.drain()

    async def close_stdin(self) -> None:
        if not self._stdin_ends:
            return  # Docker would close the output too: whoever attached to a stdin that stays open still listens
        with suppress(OSError):
            if self._writer.can_write_eof() and not self._writer.is_closing():
                self._writer.write_eof()

    async def resize(self, width: int, height: int) -> None:
        """Raises RuntimeFailure when the process never gets to run."""

        def resize(client: APIClient) -> None:
            if self._exec:
                client.exec_resize(self._exec, height=height, width=width)
            else:
                client.resize(self._container, height=height, width=width)

        for attempt in range(_RESIZE_TRIES):
            try:
                await self._engine.call("resize", resize)
                return
            except RuntimeFailure:
                if attempt + 1 == _RESIZE_TRIES:
                    raise
            await asyncio.sleep(_RESIZE.delay(attempt))

    async def exit_code(self) -> int:
        """0 of a container's own process, whose exit code is in the pod's status."""
        attempt = 0
        while self._exec:
            found = await self._engine.call("exec_inspect", lambda client: client.exec_inspect(self._exec))
            if not found.get("Running") and found.get("ExitCode") is not None:
                return int(found["ExitCode"])
            await asyncio.sleep(_LOOK.delay(attempt))
            attempt += 1
        return 0

    async def hang_up(self) -> None:
        """Docker leaves a command with a terminal running when its client goes: it is told as a modem would."""
        await self.close_stdin()
        if not (self._exec and self._terminal):
            return
        for number in (signal.SIGHUP, signal.SIGCONT):  # a stopped process hears of it too
            work = partial(docker_exec.signal_command, self._container, self._exec, number)
            try:
                await self._engine.call("exec_hangup", work)
            except RuntimeFailure as error:  # the container or the daemon is gone, and with it the process
                logger.info("a command was not hung up", extra={"error": error.message})

    async def close(self) -> None:
        self._writer.transport.abort()  # what a process that does not read was still to be written must not hold us up
        with suppress(OSError):
            await self._writer.wait_closed()
