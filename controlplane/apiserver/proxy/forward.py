"""One request sent on to a backend, and its answer sent back, as they come.

Bodies are never gathered: whoever is slow slows the other side down. What fails before the answer's head is a Status;
afterwards the client's connection is broken off, so that it cannot take a part for the whole. WebSockets pass as raw
bytes once the backend has agreed. One handler a request.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, cast

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from controlplane.apiserver.proxy.backend import Backend
from controlplane.apiserver.proxy.rewriting import answered_headers, asks_for_websocket
from controlplane.apiserver.streams.spdy.upgrade import Feeder, Upgraded, upgrade
from shared.api.errors import ServiceUnavailable
from shared.streams import CHUNK
from shared.work.alongside import alongside
from shared.work.supervisor import Supervisor

logger = logging.getLogger(__name__)

_LOOK_FOR_CLIENT = 2.0
"""Seconds between looks whether the client of a quiet backend is still there: aiohttp does not tell."""

Edit = Callable[[CIMultiDict[str]], None]
"""Changes the headers of an answer."""


async def forward(
    request: web.Request, backend: Backend, path: str, headers: CIMultiDict[str], edit: Edit
) -> web.StreamResponse:
    """Ask ``backend`` for ``path`` (raw, with its query) with ``headers``. Raises ServiceUnavailable."""
    websocket = asks_for_websocket(request.headers)
    if websocket:
        headers.update({"Connection": "Upgrade", "Upgrade": "websocket"})
    body = None if websocket else await _body(request)
    if request.headers.get("Content-Encoding"):
        for name in ("Content-Encoding", "Content-Length"):
            headers.popall(name, None)  # aiohttp has undone it
    scheme = "http" if backend.tls is None else "https"
    async with alongside(client_watch=_abort_without_client(request, backend)), backend.session() as session:
        try:
            answer = await session.request(
                request.method,
                URL(f"{scheme}://backend{path}", encoded=True),
                headers=headers,
                data=body,
                allow_redirects=False,
            )
        except (aiohttp.ClientError, OSError, ValueError) as error:
            said = backend.failure or str(error) or type(error).__name__
            raise ServiceUnavailable(f"error trying to reach service: {said}") from error
        if answer.status == 101 and websocket:
            return await _websocket(request, answer)
        return await _answer(request, backend, answer, edit)


async def _body(request: web.Request) -> aiohttp.StreamReader | bytes | None:
    """What is left of the request's body: as it comes, or as the audit log has read it."""
    if not request.body_exists:
        return None
    return await request.read() if request.content.at_eof() else request.content


async def _answer(
    request: web.Request, backend: Backend, answer: aiohttp.ClientResponse, edit: Edit
) -> web.StreamResponse:
    headers = answered_headers(answer.headers)
    edit(headers)
    response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=headers)
    try:
        await response.prepare(request)
        async for piece in answer.content.iter_any():
            await response.write(piece)
        if backend.failure:
            raise aiohttp.ClientPayloadError(backend.failure)
        await response.write_eof()
    except (aiohttp.ClientError, OSError) as error:
        logger.info("a proxied answer ended early", extra={"path": request.path, "error": str(error)})
        if request.transport is not None:
            request.transport.abort()
    return response


async def _websocket(request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
    """Bytes both ways until either side has ended."""
    connection = answer.connection
    if connection is None or connection.protocol is None or connection.transport is None:
        raise ServiceUnavailable("error trying to reach service: the connection ended as it was upgraded")
    transport = connection.transport
    reader = asyncio.StreamReader(limit=CHUNK)
    reader.set_transport(transport)
    writer = asyncio.StreamWriter(transport, connection.protocol, None, asyncio.get_running_loop())
    connection.protocol.set_parser(cast(Any, Feeder(reader)), cast(Any, None))
    agreed = dict(answered_headers(answer.headers))
    client = await upgrade(request, agreed | {"Connection": "Upgrade", "Upgrade": "websocket"})
    async with Supervisor() as supervisor:
        directions = (
            supervisor.spawn("websocket-up", _up(client, writer)),
            supervisor.spawn("websocket-down", _down(reader, client)),
        )
        await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
        supervisor.stop()
    return client.response


async def _up(client: Upgraded, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await client.read():
            writer.write(data)
            await writer.drain()
    except OSError as error:
        logger.debug("a WebSocket's backend has gone", extra={"error": str(error)})


async def _down(reader: asyncio.StreamReader, client: Upgraded) -> None:
    try:
        while data := await reader.read(CHUNK):
            await client.write(data)
    except OSError as error:
        logger.debug("a WebSocket's client has gone", extra={"error": str(error)})


async def _abort_without_client(request: web.Request, backend: Backend) -> None:
    while request.transport is not None and not request.transport.is_closing():  # noqa: ASYNC110 - no event tells
        await asyncio.sleep(_LOOK_FOR_CLIENT)
    backend.abort()
