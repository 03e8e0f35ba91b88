"""portforward of pods: which request is served by which transport.

Owns the upgrade; connections are ``forwarding``'s. What is known to be wrong before the upgrade is an answer, later
failures are told on error streams. One handler a request, on the event loop. Source:
pkg/registry/core/pod/rest/subresources.go, KEP-4006.
"""

from __future__ import annotations

from aiohttp import web

from controlplane.apiserver import connecting
from controlplane.apiserver.api import ApiServer
from controlplane.apiserver.guard import Authorizes
from controlplane.apiserver.streams import port_forward_channels
from controlplane.apiserver.streams.channels import WEBSOCKET, Channels, negotiate
from controlplane.apiserver.streams.command_options import asked_upgrade
from controlplane.apiserver.streams.forwarding import Forwarder
from controlplane.apiserver.streams.hub import TunnelHub
from controlplane.apiserver.streams.pods import PodLookup, find_pod, node_of
from controlplane.apiserver.streams.port_forward_spdy import PROTOCOL, PortStreams
from controlplane.apiserver.streams.remote_command import may_create
from controlplane.apiserver.streams.spdy.connection import SpdyConnection
from controlplane.apiserver.streams.spdy.tunnelling import WebSocketBytes
from controlplane.apiserver.streams.spdy.upgrade import upgrade
from controlplane.apiserver.streams.spdy_client import VERSION_HEADER
from controlplane.apiserver.streams.websocket_client import MAX_MESSAGE
from shared.api.errors import ServiceUnavailable
from shared.client import wire

PATH = "/api/v1/namespaces/{namespace}/pods/{name}/portforward"
TUNNELLED = f"SPDY/3.1+{PROTOCOL}"
"""The sub-protocol of a WebSocket whose messages are SPDY's bytes."""


class PortForwards:
    """Serves port-forward. Whoever may ask is decided before, but for what a WebSocket's GET may not do by itself."""

    def __init__(self, api: ApiServer, pods: PodLookup, hub: TunnelHub, authorizer: Authorizes) -> None:
        self._api = api
        self._pods, self._hub, self._authorizer = pods, hub, authorizer

    def add_routes(self, app: web.Application) -> None:
        """Serve PATH."""
        app.router.add_get(PATH, self.handle)
        app.router.add_post(PATH, self.handle)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """For a route with namespace and name. Raises StatusErrors before the upgrade."""
        await may_create(self._authorizer)
        await connecting.admitted(self._api, request, list(request.query.items()))
        pod = find_pod(self._pods, request.match_info["namespace"], request.match_info["name"])
        node = node_of(pod)
        if not self._hub.connected(node):
            raise ServiceUnavailable(f'the agent of node "{node}" is not connected', retry_after_seconds=5)
        forwarder = Forwarder(self._hub, node, pod)
        if asked_upgrade(request.headers) == "websocket":
            return await _websocket(request, forwarder)
        negotiate(request.headers.getall(VERSION_HEADER, []), [PROTOCOL], "stream protocols")
        upgraded = await upgrade(request, {VERSION_HEADER: PROTOCOL})
        await PortStreams(SpdyConnection(upgraded), forwarder).serve()
        return upgraded.response


async def _websocket(request: web.Request, forwarder: Forwarder) -> web.StreamResponse:
    asked = request.headers.getall("Sec-WebSocket-Protocol", [])
    name = negotiate(asked, [TUNNELLED, *_CHANNELS], "WebSocket sub-protocols")
    ports = [] if name == TUNNELLED else port_forward_channels.parse_ports(request.query.getall("ports", []))
    socket = web.WebSocketResponse(
        protocols=(name,) if name else (), max_msg_size=MAX_MESSAGE, compress=False, timeout=5.0
    )
    await socket.prepare(request)
    wire.probe_connection(socket.get_extra_info("socket"))
    if name == TUNNELLED:
        await PortStreams(SpdyConnection(WebSocketBytes(socket)), forwarder).serve()
    else:
        await port_forward_channels.serve(socket, WEBSOCKET.get(name, Channels(4)), forwarder, ports)
    await socket.close()
    return socket


_CHANNELS = [name for name, channels in WEBSOCKET.items() if channels.version == 4]
