"""What a node answers through nodes/proxy: its health and its pods, as this server knows them, and its agent's metrics.

Nothing of a host is reached through it.
"""

from __future__ import annotations

import logging

from aiohttp import web

from controlplane.apiserver import responses
from controlplane.apiserver.api import ApiServer
from controlplane.apiserver.identity import User
from controlplane.apiserver.negotiation import JSON_TYPE, Format
from controlplane.apiserver.proxy.location import Name
from controlplane.apiserver.request import ListOptions, Request
from controlplane.apiserver.streams.hub import StreamBroken, TunnelHub
from controlplane.apiserver.verbs import read
from shared.api.errors import BadRequest, NotFound, ServiceUnavailable, StatusError
from shared.api.kinds import NODES, PODS
from shared.observe.metrics import CONTENT_TYPE
from shared.streams import METRICS

logger = logging.getLogger(__name__)

_KUBELET_PORTS = ("", "10250")
"""How the kubelet's port is said; no other port of a node is reached."""


class NodeAnswers:
    """The paths that are known."""

    def __init__(self, api: ApiServer, hub: TunnelHub) -> None:
        self._api, self._hub = api, hub

    async def serve(self, request: web.Request, asked: Name, path: str, user: User) -> web.StreamResponse:
        """Raises NotFound, BadRequest, and ServiceUnavailable for a node whose agent is away."""
        if self._api.cache.served(NODES).get("", asked.name) is None:
            raise NotFound(f'nodes "{asked.name}" not found', kind="nodes", name=asked.name)
        if asked.port not in _KUBELET_PORTS:
            raise BadRequest(f"port {asked.port} of a node is not reached through its proxy")
        if request.method not in ("GET", "HEAD"):
            raise self._nothing(path)
        if path == "/healthz":
            if not self._hub.connected(asked.name):
                raise ServiceUnavailable(f'the agent of node "{asked.name}" is not connected', retry_after_seconds=5)
            return web.Response(text="ok")
        if path in ("/pods", "/pods/"):
            return await self._pods(asked.name, user)
        if path == "/metrics":
            return await self._metrics(request, asked.name)
        raise self._nothing(path)

    async def _pods(self, node: str, user: User) -> web.Response:
        kind = self._api.kind(PODS.group, PODS.version, PODS.plural)
        if kind is None:
            raise LookupError("pods are not served")
        selected = ListOptions(field_selector=f"spec.nodeName={node}")
        page = await read.list_(self._api, Request(user, kind), selected)
        body = await responses.list_bytes(kind, page, Format(JSON_TYPE), {}, self._api.clock.now())
        return web.Response(body=body, content_type=JSON_TYPE)

    async def _metrics(self, request: web.Request, node: str) -> web.StreamResponse:
        async with self._hub.stream(node, METRICS, {}) as stream:
            response = web.StreamResponse(headers={"Content-Type": CONTENT_TYPE})
            try:
                await response.prepare(request)
                async for piece in stream:
                    await response.write(piece)
                await response.write_eof()
            except (StreamBroken, StatusError, ConnectionError) as error:
                logger.info("a node's metrics ended early", extra={"node": node, "error": str(error)})
                if request.transport is not None:
                    request.transport.abort()
            return response

    def _nothing(self, path: str) -> NotFound:
        return NotFound(f"{path} is nothing that an agent serves: /healthz, /metrics and /pods are")
