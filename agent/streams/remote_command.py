"""Serves ``exec`` and ``attach``: a process of this host, and the channels of a stream, joined until either ends.

Owns how a stream's end and a process' end become each other's; which container is meant is said by ``find``, how a
process is reached is the runtime's. Nothing is read ahead: whoever is slow slows the other side down.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import msgspec

from agent.runtime.base import ContainerInfo, ProcessStreams, RemoteProcess, Runtime, RuntimeFailure, State
from agent.streams.duplex import Duplex, Serve, first_of
from shared.api.errors import BadRequest, InternalError
from shared.api.meta import JSON
from shared.remote_command import CLOSE, ERROR, RESIZE, STDIN, RemoteCommand, TerminalSize, exit_status
from shared.work.supervisor import Supervisor

logger = logging.getLogger(__name__)


class Finds(Protocol):
    """See ``agent.pods.logs.PodLogs.find``."""

    def __call__(self, namespace: str, name: str, uid: str, container: str) -> ContainerInfo: ...


class RemoteCommands:
    """The two kinds of streams. ``find`` raises NotFound and BadRequest."""

    def __init__(self, runtime: Runtime, find: Finds) -> None:
        self._runtime, self._find = runtime, find

    def exec(self, parameters: dict[str, Any]) -> Serve:
        """Raises BadRequest, NotFound, InternalError."""
        asked, info = self._asked(parameters)
        streams = ProcessStreams(asked.stdin, asked.stdout, asked.stderr and not asked.tty, asked.tty)
        return _serve(lambda: self._runtime.open_exec(info.id, asked.command, streams))

    def attach(self, parameters: dict[str, Any]) -> Serve:
        """Raises BadRequest, NotFound, InternalError."""
        asked, info = self._asked(parameters)
        streams = ProcessStreams(asked.stdin, asked.stdout, asked.stderr, asked.tty)
        return _serve(lambda: self._runtime.open_attach(info.id, streams))

    def _asked(self, parameters: dict[str, Any]) -> tuple[RemoteCommand, ContainerInfo]:
        try:
            asked = msgspec.convert(parameters, RemoteCommand)
        except msgspec.ValidationError as error:
            raise BadRequest(f"the options cannot be read: {error}") from error
        try:
            info = self._find(asked.namespace, asked.name, asked.uid, asked.container)
        except BadRequest as error:
            raise _not_found(asked.container) from error
        if info.state is not State.RUNNING:
            raise _not_found(asked.container)
        return asked, info


def _not_found(container: str) -> InternalError:
    """The kubelet's words (pkg/kubelet/kubelet_pods.go, GetExec), and how the API server passes them on."""
    return InternalError(f'Internal error occurred: unable to upgrade connection: container not found ("{container}")')


def _serve(open_process: Callable[[], Awaitable[RemoteProcess]]) -> Serve:
    async def serve(duplex: Duplex) -> None:
        try:
            process = await open_process()
        except RuntimeFailure as error:
            await _tell(duplex, _failed(error))
            return
        ended = False
        try:
            await first_of(duplex, _output(duplex, process), _input(duplex, process))
            ended = True
        finally:
            if not ended:
                await process.hang_up()
            await process.close()

    return serve


async def _output(duplex: Duplex, process: RemoteProcess) -> None:
    """All that the process says, then how it ended."""
    while (piece := await process.read()) is not None:
        channel, data = piece
        await duplex.send(bytes((channel,)) + data)
    try:
        status = exit_status(await process.exit_code())
    except RuntimeFailure as error:
        status = _failed(error)
    await _tell(duplex, status)


async def _input(duplex: Duplex, process: RemoteProcess) -> None:
    """All that the client sends, until it goes."""
    async with Supervisor() as supervisor:
        resizing: asyncio.Task[Any] | None = None
        while (message := await duplex.receive()) is not None:
            channel = message[0] if message else ERROR
            if channel == STDIN:
                await process.write(message[1:])
            elif channel == CLOSE and message[1:] == bytes((STDIN,)):
                await process.close_stdin()
            elif channel == RESIZE:
                if resizing is not None:
                    resizing.cancel()  # only the last size counts
                resizing = supervisor.spawn("resize", _resize(process, message[1:]))
        supervisor.stop()


async def _resize(process: RemoteProcess, data: bytes) -> None:
    try:
        size = msgspec.json.decode(data, type=TerminalSize)
        if size.width > 0 and size.height > 0:
            await process.resize(size.width, size.height)
    except (msgspec.MsgspecError, RuntimeFailure) as error:
        logger.info("a terminal was not resized", extra={"error": str(error)})


def _failed(error: RuntimeFailure) -> JSON:
    """The kubelet's words (pkg/kubelet/server/remotecommand, exec.go)."""
    return InternalError(f"Internal error occurred: error executing command in container: {error.message}").to_status()


async def _tell(duplex: Duplex, status: JSON) -> None:
    await duplex.send(bytes((ERROR,)) + msgspec.json.encode(status))
