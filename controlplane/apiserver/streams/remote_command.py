"""exec and attach of pods: a client's channels joined to a stream of the pod's agent, until either ends.

Owns which requests become which streams, and how the ends of the two sides become each other's. Errors that are known
before the upgrade are answers; later ones are Statuses on the error channel. One handler a request, on the event loop.
Source: pkg/registry/core/pod/rest/subresources.go, KEP-4006.
"""

from __future__ import annotations

import asyncio
import logging
from inspect import isawaitable
from typing import Protocol

import msgspec
from aiohttp import web

from controlplane.apiserver import connecting
from controlplane.apiserver.api import ApiServer
from controlplane.apiserver.guard import CALL, Authorizes
from controlplane.apiserver.identity import Attributes
from controlplane.apiserver.streams import spdy_client, websocket_client
from controlplane.apiserver.streams.command_options import CommandQuery, asked_upgrade, parse_query
from controlplane.apiserver.streams.hub import AgentStream, StreamBroken, TunnelHub
from controlplane.apiserver.streams.pods import PodLookup, choose_container, find_pod, node_of
from controlplane.apiserver.streams.websocket_client import Listener
from controlplane.apiserver.verbs import connect
from shared.api.errors import InternalError, StatusError
from shared.api.meta import JSON
from shared.remote_command import ATTACH, CLOSE, ERROR, EXEC, RESIZE, STDERR, STDIN, STDOUT
from shared.streams import CHUNK
from shared.work.supervisor import Supervisor

logger = logging.getLogger(__name__)

_PATH = "/api/v1/namespaces/{namespace}/pods/{name}/"
PING = 5.0
"""Seconds between looks whether the client is still there: one that is held back by a full stdin is not read."""

_STDIN_PIECE = CHUNK - 1
_BROKEN = InternalError("Internal error occurred: the agent's connection ended before the command did")


class Client(Protocol):
    """A client's end: ``websocket_client`` and ``spdy_client``."""

    async def listen(self, listener: Listener) -> None: ...
    async def send(self, channel: int, data: bytes) -> None: ...
    async def ping(self) -> None: ...
    async def finish(self, status: JSON) -> None: ...
    async def close(self) -> None: ...


class RemoteCommands:
    """Serves both. Whoever may ask is decided before, but for what a WebSocket's GET may not do by itself."""

    def __init__(self, api: ApiServer, pods: PodLookup, hub: TunnelHub, authorizer: Authorizes) -> None:
        self._api = api
        self._pods, self._hub, self._authorizer = pods, hub, authorizer

    def add_routes(self, app: web.Application) -> None:
        """Serve ``pods/exec`` and ``pods/attach``."""
        for kind in (EXEC, ATTACH):
            app.router.add_get(_PATH + kind, self.handle)
            app.router.add_post(_PATH + kind, self.handle)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """For a route that ends in the kind. Raises StatusErrors before the upgrade."""
        kind = ATTACH if request.path.endswith(ATTACH) else EXEC
        await may_create(self._authorizer)
        options = await connecting.admitted(self._api, request, list(request.query.items()))
        pod = find_pod(self._pods, request.match_info["namespace"], request.match_info["name"])
        query = parse_query(connect.as_query(options), attach=kind == ATTACH)
        container = choose_container(pod, query.container)
        node = node_of(pod)
        parameters = msgspec.to_builtins(query.of(pod, container))
        if asked_upgrade(request.headers) == "websocket":
            return await self._websocket(request, kind, node, parameters)
        return await self._spdy(request, kind, node, parameters, query)

    async def _websocket(self, request: web.Request, kind: str, node: str, parameters: JSON) -> web.StreamResponse:
        client = await websocket_client.accept(request)
        try:
            async with self._hub.stream(node, kind, parameters) as stream:
                await join(client, stream)
        except StatusError as error:
            await _finish(client, error.to_status())
        finally:
            await client.close()
        return client.response

    async def _spdy(
        self, request: web.Request, kind: str, node: str, parameters: JSON, query: CommandQuery
    ) -> web.StreamResponse:
        protocol = spdy_client.check_protocol(request)
        async with self._hub.stream(node, kind, parameters) as stream:
            client = await spdy_client.accept(request, protocol, query)
            async with Supervisor() as supervisor:
                reading = supervisor.service("spdy", client.run())
                try:
                    await client.open()
                    await join(client, stream)
                    await client.close()
                except ConnectionError as error:
                    logger.info("a client went away", extra={"path": request.path, "error": str(error)})
                finally:
                    reading.cancel()
            return client.response


async def may_create(authorizer: Authorizes) -> None:
    """A WebSocket asks with GET for what is a ``create``, which it then needs too (kubernetes#133515). Raises
    Forbidden."""
    call = CALL.get()
    if call.verb == "create":
        return
    target = call.target
    attributes = Attributes(
        "create", target.path, target.group, target.version, target.resource, target.subresource, target.namespace,
        target.name,
    )  # fmt: skip
    if isawaitable(allowed := authorizer.authorize(call.user, attributes)):
        await allowed


async def join(client: Client, stream: AgentStream) -> None:
    """Pass everything on until the command has ended and the client knows how, or one of the two is gone."""
    async with Supervisor() as supervisor:
        listening = supervisor.spawn("command-input", _inward(client, stream))
        pinging = supervisor.spawn("command-ping", _ping(client, stream))
        try:
            status = await _outward(client, stream)
            if not listening.done():
                await _finish(client, status)
        except ConnectionError:
            logger.debug("a client went away in the middle of a command")
        finally:
            pinging.cancel()
            listening.cancel()


async def _outward(client: Client, stream: AgentStream) -> JSON:
    """The command's output; then how it ended. Raises ConnectionError without the client."""
    try:
        async for message in stream:
            channel = message[0] if message else CLOSE
            if channel in (STDOUT, STDERR):
                await client.send(channel, message[1:])
            elif channel == ERROR:
                status: JSON = msgspec.json.decode(message[1:], type=dict)
                return status
    except StatusError as error:
        return error.to_status()
    except (StreamBroken, msgspec.DecodeError):
        return _BROKEN.to_status()
    return _BROKEN.to_status()


async def _inward(client: Client, stream: AgentStream) -> None:
    """What the client sends, until it is gone; then the stream ends, which the agent's process sees."""

    async def listener(channel: int, data: bytes) -> None:
        if channel == STDIN:
            for start in range(0, len(data), _STDIN_PIECE):
                await stream.send(bytes((STDIN,)) + data[start : start + _STDIN_PIECE])
        elif channel in (RESIZE, CLOSE):
            await stream.send(bytes((channel,)) + data[:_STDIN_PIECE])

    try:
        await client.listen(listener)
    except StreamBroken:
        return  # which the other direction sees too
    await stream.close()


async def _ping(client: Client, stream: AgentStream) -> None:
    try:
        while True:
            await asyncio.sleep(PING)
            await client.ping()
    except ConnectionError:
        await stream.close()


async def _finish(client: Client, status: JSON) -> None:
    try:
        await client.finish(status)
    except ConnectionError:
        logger.debug("a client went away before it could be told how its command ended")
