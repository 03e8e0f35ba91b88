"""A raw two-way connection to the Docker daemon: an HTTP request that it answers by giving its connection away.

The SDK would need a thread for each direction of each; these are sockets on the event loop, so a hundred cost little.
Owns the handshake (Engine API, "Attach to a container": hijacking). Each connection has one reader and one writer.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import urlsplit

from agent.runtime import docker_errors
from agent.runtime.base import RuntimeFailure, RuntimeUnavailable

CHUNK = 64 << 10
"""Bytes read at a time, and about how many wait in between."""

_MAX_REFUSAL = 64 << 10
_ERRORS = (OSError, EOFError, asyncio.LimitOverrunError, ValueError)

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def hijack(host: str, path: str, body: dict[str, Any] | None, timeout: float) -> Connection:
    """POST ``path`` (with the API's version) and take the connection over. ``timeout`` in seconds.

    Raises RuntimeFailure with what the daemon says, RuntimeUnavailable when it does not answer.
    """
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(timeout):
            reader, writer = await _connect(host)
            writer.write(_request(path, body))
            await writer.drain()
            status, length = _head(await reader.readuntil(b"\r\n\r\n"))
            if status in (101, 200):
                taken, writer = writer, None
                return reader, taken
            refusal = (
                await reader.readexactly(length) if 0 <= length <= _MAX_REFUSAL else await reader.read(_MAX_REFUSAL)
            )
        raise RuntimeFailure(_message(refusal), "ExecFailed")
    except TimeoutError as error:
        raise RuntimeUnavailable(f"the Docker daemon does not answer ({timeout:g} s)") from error
    except _ERRORS as error:
        raise RuntimeUnavailable(f"the Docker daemon does not answer: {error}") from error
    finally:
        if writer is not None:
            writer.close()


async def _connect(host: str) -> Connection:
    address = urlsplit(host)
    if address.scheme in ("unix", "http+unix"):
        return await asyncio.open_unix_connection(address.netloc + address.path, limit=CHUNK)
    if address.scheme in ("tcp", "http") and address.hostname is not None:
        return await asyncio.open_connection(address.hostname, address.port or 2375, limit=CHUNK)
    raise RuntimeFailure(f"streams are not known over the Docker address {host}; use unix:// or tcp://", "ExecFailed")


def _request(path: str, body: dict[str, Any] | None) -> bytes:
    data = b"" if body is None else json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data


def _head(head: bytes) -> tuple[int, int]:
    """The status and the body's length, which the daemon says of its refusals. Raises ValueError."""
    first, *lines = head.decode("latin-1").split("\r\n")
    length = 0
    for line in lines:
        name, _, value = line.partition(":")
        if name.lower() == "content-length":
            length = int(value)
    return int(first.split(" ")[1]) if first.startswith("HTTP/1.") else 0, length


def _message(body: bytes) -> str:
    try:
        text = str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        text = body.decode(errors="replace")
    return docker_errors.clean_message(text)
