"""Running a command in a container, with a time limit that holds.

The daemon has no way to end an exec: when time is up the connection is shut and the process is killed by its
host process id, checked against the container's control group first, so that no other process can be hit. (The
kubelet leaves it running; a hanging probe then collects processes until the container's limit is reached.)
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from docker import APIClient
from docker.errors import APIError, create_api_error_from_http_exception
from docker.types import CancellableStream
from requests import HTTPError

from agent.runtime import docker_errors
from agent.runtime.base import ExecResult, RuntimeFailure
from agent.runtime.docker_engine import DockerEngine, Interrupt
from agent.runtime.docker_logs import Demultiplexer

logger = logging.getLogger(__name__)

OUTPUT_LIMIT = 10 * 1024
CANNOT_RUN = 126
"""The shell's exit code of a command that cannot be executed."""
_BLOCK = 4096
_EXIT_CODE_TRIES, _EXIT_CODE_WAIT = 20, 0.02


async def run(
    engine: DockerEngine, budget: asyncio.Semaphore, container_id: str, command: Sequence[str], timeout: float
) -> ExecResult:
    """Raises TimeoutError after ``timeout`` seconds, RuntimeFailure when the daemon refuses."""
    interrupt = Interrupt()
    started: list[str] = []
    try:
        async with asyncio.timeout(timeout), budget:
            work = partial(_run, container_id, list(command), interrupt, started)
            return await engine.dedicated("exec", work, interrupt=interrupt)
    except TimeoutError:
        if started:
            with suppress(RuntimeFailure):  # the container or the daemon is gone, and with it the process
                await engine.call("exec_kill", partial(signal_command, container_id, started[0], signal.SIGKILL))
        raise


def _run(
    container_id: str, command: list[str], interrupt: Interrupt, started: list[str], client: APIClient
) -> ExecResult:
    exec_id = client.exec_create(container_id, command)["Id"]
    started.append(exec_id)
    try:
        output = _output(client, exec_id, interrupt)
    except APIError as error:
        text = docker_errors.explanation(error)
        if docker_errors.is_start_error(text):
            return ExecResult(CANNOT_RUN, docker_errors.clean_message(text).encode()[:OUTPUT_LIMIT])
        raise
    return ExecResult(_exit_code(client, exec_id), output)


def _output(client: APIClient, exec_id: str, interrupt: Interrupt) -> bytes:
    """Both streams up to the end, cut at the limit."""
    response = client.post(
        f"{client.base_url}/v{client.api_version}/exec/{exec_id}/start",
        json={"Tty": False, "Detach": False},
        timeout=(client.timeout, None),
        stream=True,
    )
    output = bytearray()
    with response:
        interrupt.attach(CancellableStream(iter(()), response).close)
        try:
            response.raise_for_status()
        except HTTPError as error:
            create_api_error_from_http_exception(error)
        demultiplexer = Demultiplexer()
        for chunk in response.iter_content(chunk_size=_BLOCK):
            data = demultiplexer.feed(chunk)
            output += data[: OUTPUT_LIMIT - len(output)]
    return bytes(output)


def _exit_code(client: APIClient, exec_id: str) -> int:
    """The daemon closes the stream a moment before it knows the exit code."""
    for _ in range(_EXIT_CODE_TRIES):
        inspected = client.exec_inspect(exec_id)
        if not inspected.get("Running") and inspected.get("ExitCode") is not None:
            return int(inspected["ExitCode"])
        time.sleep(_EXIT_CODE_WAIT)
    raise RuntimeFailure("the command closed its output and runs on; its exit code is not known", "ExecFailed")


def signal_command(container_id: str, exec_id: str, number: signal.Signals, client: APIClient) -> bool:
    """Send a signal to the command of an exec that still runs; whether it was hit."""
    inspected = client.exec_inspect(exec_id)
    process_id = int(inspected.get("Pid") or 0)
    if not inspected.get("Running") or process_id <= 1:
        return False
    try:
        handle = os.pidfd_open(process_id)
    except OSError:
        return False
    try:
        groups = Path(f"/proc/{process_id}/cgroup").read_text()
        if container_id not in groups:
            logger.warning("left a command running that is to end", extra={"container": container_id})
            return False
        signal.pidfd_send_signal(handle, number)
    except OSError:
        return False
    finally:
        os.close(handle)
    return True
