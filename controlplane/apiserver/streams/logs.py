"""GET /api/v1/namespaces/{namespace}/pods/{name}/log: a container's log, through the agent's tunnel.

The pod comes from the watch cache, the bytes from the agent, as they come: nothing is kept here. Errors that are
known before the first byte are Statuses; afterwards the connection is broken off, so that a client cannot take a
part for the whole. One handler a request, on the event loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import msgspec
from aiohttp import web

from controlplane.apiserver.streams.hub import AgentStream, StreamBroken, TunnelHub
from controlplane.apiserver.streams.log_options import check_has_log, parse_query
from controlplane.apiserver.streams.pods import PodLookup, choose_container, find_pod
from shared.api.errors import BadRequest, StatusError
from shared.streams import LOG
from shared.work.supervisor import Supervisor

logger = logging.getLogger(__name__)

PATH = "/api/v1/namespaces/{namespace}/pods/{name}/log"

_LOOK_FOR_CLIENT = 2.0
"""Seconds between looks whether the client of a quiet log is still there: aiohttp does not tell."""


class LogHandler:
    """Serves logs. Whoever may ask is decided before (get of pods/log)."""

    def __init__(self, pods: PodLookup, hub: TunnelHub) -> None:
        self._pods, self._hub = pods, hub

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """For a route with ``namespace`` and ``name``."""
        return await self.serve(request, request.match_info["namespace"], request.match_info["name"])

    async def serve(self, request: web.Request, namespace: str, name: str) -> web.StreamResponse:
        """Answer ``request`` with the log of a container of a pod. Raises StatusErrors before the first byte."""
        pod = find_pod(self._pods, namespace, name)
        query = parse_query(request.query, name)
        container = choose_container(pod, query.container)
        if not pod.spec.node_name:
            return web.Response(status=204)  # as Kubernetes: nothing to say of a pod without a node
        check_has_log(pod, container, query.previous)
        parameters = msgspec.to_builtins(query.of(pod, container))
        async with self._hub.stream(pod.spec.node_name, LOG, parameters) as stream:
            pieces = _bounded(stream, query.limit_bytes)
            # The first piece is awaited before the answer begins: a refusal can still become a Status. With
            # ``follow`` a container may be silent for long, so there it is not waited for.
            first = b"" if query.follow else await _first(pieces)
            response = web.StreamResponse(headers={"Cache-Control": "no-cache, private"})
            response.content_type = "text/plain"
            await response.prepare(request)
            if await _copy(request, response, stream, first, pieces):
                await response.write_eof()
            else:
                _break_off(request)
            return response


def add_routes(app: web.Application, logs: LogHandler) -> None:
    """Serve PATH."""
    app.router.add_get(PATH, logs.handle)


async def _first(pieces: AsyncIterator[bytes]) -> bytes:
    try:
        return await anext(pieces, b"")
    except StreamBroken as error:
        raise BadRequest("the log ended unexpectedly: the agent's connection broke; try again") from error


async def _copy(
    request: web.Request,
    response: web.StreamResponse,
    stream: AgentStream,
    first: bytes,
    pieces: AsyncIterator[bytes],
) -> bool:
    """Pass everything on; False when the client is to see that it is not all."""
    async with Supervisor() as supervisor:
        watcher = supervisor.spawn("watch-log-client", _close_without_client(request, stream))
        try:
            if first:
                await response.write(first)
            async for piece in pieces:
                await response.write(piece)
        except (ConnectionError, StreamBroken, StatusError) as error:
            if not _gone(request):
                logger.warning("a log ended early", extra={"path": request.path, "error": str(error)})
            return False
        finally:
            watcher.cancel()
    return True


async def _bounded(stream: AgentStream, limit: int | None) -> AsyncIterator[bytes]:
    """The stream's bytes, at most ``limit``, whatever the agent sends."""
    left = limit
    async for piece in stream:
        if left is None:
            yield piece
            continue
        yield piece[:left]
        left -= len(piece)
        if left <= 0:
            return


async def _close_without_client(request: web.Request, stream: AgentStream) -> None:
    while not _gone(request):  # noqa: ASYNC110 - nothing sets an event when a client leaves
        await asyncio.sleep(_LOOK_FOR_CLIENT)
    await stream.close()


def _gone(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()


def _break_off(request: web.Request) -> None:
    """Without the last chunk of a chunked answer every client reports an error."""
    if request.transport is not None:
        request.transport.abort()
